"""Detection of training cases among the volumes to predict, by name and path."""

from collections.abc import Sequence

import numpy as np

from volbench.interfaces import Case
from volbench.predict.results import InSample
from volbench.runs.load import LoadedRun
from volbench.runs.splits_file import SplitRow


def seen_in_training(
    case: Case, split: Sequence[SplitRow], run: LoadedRun, folds: Sequence[int]
) -> InSample | None:
    """Find out which folds have seen a case; None if it is new to all of them.

    A name counts as the same if it ends in the name of a training case: a manifest's names start
    at its own folder, those of files at the current one. A patient counts where one is given.
    """
    same = [row for row in split if _same_name(case.name, row.case)]
    by_patient = not same
    if by_patient and case.patient:
        same = [row for row in split if row.patient == case.patient]
    seen = tuple(fold for fold in folds if any(fold not in row.folds for row in same))
    if not seen:
        return None
    held_out = None if by_patient else _held_out(same[0], run)
    return InSample(by_patient, seen, len(folds), held_out)


def _same_name(name: str, known: str) -> bool:
    return name == known or name.endswith(f"/{known}")


def _held_out(row: SplitRow, run: LoadedRun) -> tuple[float, ...] | None:
    rows = [each for fold in row.folds for each in run.predictions.get(fold, ())]
    found = [prediction.probabilities for prediction in rows if prediction.case == row.case]
    return tuple(map(float, np.mean(found, axis=0))) if found else None


def in_words(case: Case, known: InSample, classes: Sequence[str]) -> str:
    """Say in one line that a prediction is no test of the run."""
    share = f"{len(known.folds)} of {known.total} folds"
    if known.by_patient:
        return f"case {case.name}: {share} were trained on patient {case.patient}"
    line = f"case {case.name} was trained on by {share}"
    if known.held_out is None:
        return f"{line}; no fold held it out"
    shown = ", ".join(f"{p:.3f} {c}" for c, p in zip(classes, known.held_out, strict=True))
    return f"{line}; its held-out probability is {shown}"
