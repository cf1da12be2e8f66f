"""Answer to one checklist item: text from the run, and what is left to the author."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from volbench.model_card.run_facts import RunFacts

Status: TypeAlias = Literal["filled", "partly", "left"]


@dataclass(frozen=True)
class Answer:
    """An answer.

    Attributes:
        known: What the run says, as Markdown; empty where it knows nothing.
        left: What the author has to write; empty where nothing is left.
    """

    known: str = ""
    left: str = ""

    @property
    def status(self) -> Status:
        """Whether the run answers all of it, a part or nothing."""
        if not self.known:
            return "left"
        return "partly" if self.left else "filled"


Answering: TypeAlias = Callable[[RunFacts], Answer]


@dataclass(frozen=True)
class ChecklistItem:
    """An item of a checklist.

    Attributes:
        number: As published.
        section: Heading of the list under which it stands.
        asks: What it asks for, in our words.
        answer: What a run says to it.
    """

    number: str
    section: str
    asks: str
    answer: Answering


def author(what: str) -> Answering:
    """An item of which no run knows anything."""
    return lambda facts: Answer(left=what)


def with_left(answer: Answering, what: str) -> Answering:
    """The same answer where another list asks for more, or for something else beside it."""

    def asked(facts: RunFacts) -> Answer:
        known = answer(facts).known
        return Answer(known=known, left=what)

    return asked


def joined(*answers: Answering) -> Answering:
    """Several answers to an item that asks for all of it."""

    def asked(facts: RunFacts) -> Answer:
        found = [answer(facts) for answer in answers]
        return Answer(
            known=" ".join(each.known for each in found if each.known),
            left="; ".join(each.left for each in found if each.left),
        )

    return asked
