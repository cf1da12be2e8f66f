"""Checklist as a Markdown table, with the number of items the run could fill."""

from collections import Counter
from collections.abc import Sequence

from volbench.model_card.answers import Answer, ChecklistItem, Status
from volbench.model_card.markdown import counted, table
from volbench.model_card.run_facts import RunFacts

BOX = "☐ to be written by the author:"
MARKS: dict[Status, str] = {"filled": "filled", "partly": "partly", "left": "author"}


def answers(items: Sequence[ChecklistItem], facts: RunFacts) -> list[tuple[ChecklistItem, Answer]]:
    """Ask a run every item of a list."""
    return [(item, item.answer(facts)) for item in items]


def tally(name: str, asked: Sequence[tuple[ChecklistItem, Answer]]) -> str:
    """How many items the run filled, filled in part and left; a sentence."""
    found = Counter(answer.status for _, answer in asked)
    return (
        f"{name}: {counted(len(asked), 'item')}, {found['filled']} filled by the run, "
        f"{found['partly']} in part, {found['left']} left to the author."
    )


def checklist_table(asked: Sequence[tuple[ChecklistItem, Answer]]) -> str:
    """One row per item, in the order of the list."""
    rows = [
        (item.number, item.section, item.asks, MARKS[answer.status], said(answer))
        for item, answer in asked
    ]
    return table(["item", "section", "asks for", "status", "answer"], rows, text=5)


def said(answer: Answer) -> str:
    """What is known, then what is left."""
    left = f"{BOX} {answer.left}" if answer.left else ""
    return " ".join(part for part in (answer.known, left) if part)
