"""Prediction of one volume: probabilities, spread over folds, warnings."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from volbench._utils.text import plural
from volbench.interfaces import Case

NOTICE = "Research software; not for clinical use."

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
        alone = len(by_fold) == 1
        std = np.full(by_fold.shape[1], np.nan) if alone else by_fold.std(axis=0, ddof=1)
        return cls(by_fold.mean(axis=0), std, by_fold.min(axis=0), by_fold.max(axis=0))
