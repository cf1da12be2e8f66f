"""Prediction of one volume: probabilities, spread over folds, warnings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from volbench._utils.text import plural
from volbench.evaluation.statistics.spread import spread
from volbench.interfaces import Case

NOTICE = "Research software; not for clinical use."

MOST_WARNINGS = 3
"""Warnings of volumes that are shown one by one, and names in a summary of more."""

THRESHOLD = 0.5
"""Of two classes the positive one is predicted from this probability on."""


@dataclass(frozen=True)
class InSample:
    """Networks that have seen a volume, or another one of its patient, in training.

    Attributes:
        by_patient: The patient is known from training, the case itself is not.
        folds: The folds used here that were trained on it.
        total: How many folds are used.
        held_out: The probability per class of the fold that held the case out, if it is finished.

    >>> seen = InSample(by_patient=False, folds=(0, 2), total=3, held_out=(0.3, 0.7))
    >>> f"{len(seen.folds)} of {seen.total} networks have seen it"
    '2 of 3 networks have seen it'
    """

    by_patient: bool
    folds: tuple[int, ...]
    total: int
    held_out: tuple[float, ...] | None


@dataclass(frozen=True)
class Predicted:
    """One volume's probabilities.

    Attributes:
        case: What was asked; its label is empty where none was given.
        folds: Numbers of the folds, in the order of ``by_fold``.
        by_fold: Of the case; at slice level the mean over its slices.
        by_slice: Of each slice by its number among the prepared slices; empty at volume level.
        shape: Slices, rows and columns as stored.
        spacing_mm: Distance between slices, rows and columns as stored.
        in_sample: Folds that saw it in training; None if none did, by its name and patient.
        warnings: What a reader must know of this volume.

    >>> from pathlib import Path
    >>> from volbench.interfaces import Case, Files
    >>> case = Case("scan", "p01", "", Files((Path("scan.nii.gz"),)))
    >>> by_fold = np.array([[0.2, 0.8], [0.4, 0.6]])
    >>> size = {"shape": (20, 256, 256), "spacing_mm": (4.0, 0.6, 0.6)}
    >>> Predicted(case, ("T2", "T3"), (0, 1), by_fold, {}, **size, in_sample=None, warnings=())
    <scan: T3 (T2 0.300, T3 0.700; 2 folds)>
    """

    case: Case
    classes: tuple[str, ...]
    folds: tuple[int, ...]
    by_fold: Float[np.ndarray, "fold class"]
    by_slice: Mapping[int, Float[np.ndarray, "fold class"]]
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    in_sample: InSample | None
    warnings: tuple[str, ...]

    def __repr__(self) -> str:
        shares = ", ".join(f"{name} {share:.3f}" for name, share in self.probabilities.items())
        return f"<{self.case.name}: {self.label} ({shares}; {plural(len(self.folds), 'fold')})>"

    @property
    def probabilities(self) -> dict[str, float]:
        """Mean over the folds, by class."""
        return dict(zip(self.classes, map(float, self.by_fold.mean(axis=0)), strict=True))

    @property
    def label(self) -> str:
        """The class that is predicted."""
        return decide(self.by_fold, self.classes)


def summarised_warnings(predicted: Sequence[Predicted]) -> list[str]:
    """Warnings of all volumes: those of a few one by one, of many in one line per kind."""
    lines = [line for one in predicted for line in one.warnings]
    if len(lines) <= MOST_WARNINGS:
        return lines
    seen = [one for one in predicted if one.in_sample]
    kinds = {
        "have been trained on by some of the folds, so that their probabilities test nothing": [
            one for one in seen if one.in_sample and not one.in_sample.by_patient
        ],
        "are of patients that some of the folds were trained on": [
            one for one in seen if one.in_sample and one.in_sample.by_patient
        ],
        "have spacings that the run was not trained on": [
            one for one in predicted if len(one.warnings) > bool(one.in_sample)
        ],
    }
    return [
        f"{len(those)} of {plural(len(predicted), 'volume')} {what}: {_some(those)} "
        "(each one's warning: --format json)"
        for what, those in kinds.items()
        if those
    ]


def _some(predicted: Sequence[Predicted]) -> str:
    names = [one.case.name for one in predicted[:MOST_WARNINGS]]
    more = len(predicted) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def decide(by_fold: Float[np.ndarray, "fold class"], classes: tuple[str, ...]) -> str:
    """Name the predicted class: by the threshold if there are two, else the most probable."""
    mean = by_fold.mean(axis=0)
    if len(classes) == 2:
        return classes[int(mean[1] >= THRESHOLD)]
    return classes[int(mean.argmax())]


@dataclass(frozen=True)
class Spread:
    """How far the folds are apart, per class; ``std`` has ddof 1 and is NaN for a single fold."""

    mean: Float[np.ndarray, " class"]
    std: Float[np.ndarray, " class"]
    low: Float[np.ndarray, " class"]
    high: Float[np.ndarray, " class"]

    @classmethod
    def of(cls, by_fold: Float[np.ndarray, "fold class"]) -> "Spread":
        """Summarise the folds."""
        return cls(by_fold.mean(axis=0), spread(by_fold), by_fold.min(axis=0), by_fold.max(axis=0))
