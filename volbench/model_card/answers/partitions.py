"""Checklist answers about partitions: how cases were split, disjointness, sizes."""

from collections.abc import Iterable

from volbench.model_card.answers.answer import Answer
from volbench.model_card.markdown import counted, safe, span
from volbench.model_card.run_facts import Partition, RunFacts


def assignment(facts: RunFacts) -> Answer:
    """Folds, the inner validation part, and how equal they are."""
    folds: dict[int, list[int]] = {}
    positive = facts.classes[-1]
    for row in facts.assigned:
        for fold in row.folds:
            folds.setdefault(fold, [0, 0])
            folds[fold][0] += 1
            folds[fold][1] += row.label == positive
    drawn = facts.run.repeated
    kind = (
        f"{counted(facts.folds, 'random split')}, in which a patient may be held out several times "
        "or never: each has"
        if drawn
        else f"{counted(facts.folds, 'fold')}: each is held out once, with"
    )
    parts = [
        f"{kind} "
        f"{span(n for n, _ in folds.values())} cases, "
        f"{span(100 * k / n for n, k in folds.values())} % of them {safe(positive)}"
    ]
    never = sum(not row.folds for row in facts.assigned)
    if never:
        why = "" if drawn else " (parts train and val)"
        parts.append(f"{counted(never, 'case')} never held out{why}")
    inner = [len(part.validation) for part in facts.partitions if part.validation]
    if inner:
        parts.append(
            f"{span(inner)} cases of each training part are kept as an inner validation part"
        )
    parts.append(
        f"seed {facts.run.experiment['seed']}, split digest "
        f"{facts.run.experiment['split_digest'][:16]}"
    )
    return Answer(
        "; ".join(parts) + ".",
        "where the folds come from, if they were given and not drawn by volbench (which stratifies "
        "by class)",
    )


def disjoint(facts: RunFacts) -> Answer:
    """Whether a patient is in two parts, counted from the files."""
    inner = [part for part in facts.partitions if part.validation]
    leaks = sum(_shared(part) for part in facts.partitions)
    if facts.split_across_folds or leaks:
        return Answer(
            f"NOT disjoint in patients: {counted(len(facts.split_across_folds), 'patient')} in "
            f"several folds of splits.csv, {counted(leaks, 'patient')} in both a training or "
            "validation and a held-out part.",
            "why, and what it does to the figures",
        )
    checked = (
        f" and in the inner validation parts of {counted(len(inner), 'fold')}" if inner else ""
    )
    where = "both sides of a split" if facts.run.repeated else "two folds"
    return Answer(
        f"Patient: none of {counted(facts.patients, 'patient')} is in {where} (counted in "
        f"splits.csv{checked})."
    )


def _shared(part: Partition) -> int:
    test = {row.patient for row in part.test}
    train = {row.patient for row in part.train}
    inner = {row.patient for row in part.validation}
    return len(test & (train | inner)) + len(train & inner)


def per_analysis(facts: RunFacts) -> Answer:
    """Cases to train on, to pick the checkpoint with, held out: over the finished folds."""
    parts = facts.partitions
    if not parts:
        return Answer(left="numbers of cases in each analysis: no fold is finished")
    positive = facts.classes[-1]

    def said(name: str, rows: Iterable[tuple[int, int]]) -> str:
        pairs = list(rows)
        cases, events = (span(values) for values in zip(*pairs, strict=True))
        return f"{name} {cases} cases ({safe(positive)}: {events})"

    def count(name: str) -> list[tuple[int, int]]:
        return [
            (len(rows), sum(row.label == positive for row in rows))
            for rows in (getattr(part, name) for part in parts)
        ]

    shown = [said("training", count("train"))]
    if any(part.validation for part in parts):
        shown.append(said("inner validation", count("validation")))
    shown.append(said("held out", count("test")))
    return Answer(f"Per fold, over {counted(len(parts), 'finished fold')}: {'; '.join(shown)}.")
