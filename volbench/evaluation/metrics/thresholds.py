"""Decision thresholds: fixed, or chosen on validation predictions."""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float

from volbench.errors import DataError, UsageError
from volbench.evaluation.metrics.arrays import LabelArray, ProbabilityArray

Kind: TypeAlias = Literal["fixed", "youden", "specificity", "sensitivity"]


@dataclass(frozen=True)
class ThresholdRule:
    """How the probability is set from which on an item is called the second of two classes.

    Attributes:
        kind: ``fixed``; or chosen on other predictions: ``youden`` for the largest sensitivity +
            specificity - 1 (Youden, 1950), ``specificity`` or ``sensitivity`` for the largest
            other one among the thresholds that reach a wanted value.
        value: The fixed threshold or the wanted value; None for ``youden``.
    """

    kind: Kind
    value: float | None = None

    @classmethod
    def parse(cls, text: str | float) -> "ThresholdRule":
        """Understand ``0.5``, ``youden``, ``specificity=0.9`` or ``sensitivity=0.9``.

        Raises:
            UsageError: it is none of these, or its number is outside 0 to 1.
        """
        if text == "youden":
            return cls("youden")
        kinds: dict[str, Kind] = {"specificity": "specificity", "sensitivity": "sensitivity"}
        name, equals, number = str(text).partition("=")
        kind = kinds.get(name) if equals else "fixed"
        try:
            value = float(number if equals else name)
        except ValueError:
            value = math.nan
        if kind is None or not 0 <= value <= 1:
            raise UsageError(
                f"threshold {text!r} is not a number from 0 to 1, 'youden', 'specificity=0.9' "
                "or 'sensitivity=0.9'"
            )
        return cls(kind, value)

    def __str__(self) -> str:
        """The text that `parse` understands."""
        if self.value is None:
            return self.kind
        return f"{self.value:g}" if self.kind == "fixed" else f"{self.kind}={self.value:g}"

    @property
    def chosen(self) -> bool:
        """Whether predictions are needed to set it."""
        return self.kind != "fixed"

    def threshold(self, labels: LabelArray, probabilities: ProbabilityArray) -> float:
        """Set the threshold on these predictions, which must not be those it is scored on.

        A threshold between two neighbouring probabilities decides all the same here; the middle is
        taken. Where several make Youden's index the largest, the one nearest to 0.5 is taken.

        Raises:
            DataError: one of the two classes is missing.
        """
        if self.kind == "fixed":
            assert self.value is not None
            return self.value
        positive, negative = (np.sort(probabilities[labels == index, 1]) for index in (1, 0))
        if not len(positive) or not len(negative):
            raise DataError(f"threshold {self}: one of the two classes is missing")
        values = np.unique(probabilities[:, 1])
        cuts = _between(values)
        upper = np.append(values, np.inf)  # what each cut calls positive is at least this
        found = len(positive) - np.searchsorted(positive, upper)
        spared = np.searchsorted(negative, upper)
        if self.kind == "youden":
            # In whole numbers, so that equal sums are equal.
            index = found * len(negative) + spared * len(positive)
            best = cuts[index == index.max()]
            return float(best[np.abs(best - 0.5).argmin()])
        assert self.value is not None
        main, other = (spared, found) if self.kind == "specificity" else (found, spared)
        items = len(negative) if self.kind == "specificity" else len(positive)
        reached = np.flatnonzero(main / items >= self.value)
        return float(cuts[max(reached, key=lambda cut: (other[cut], main[cut]))])


def _between(values: Float[np.ndarray, " value"]) -> Float[np.ndarray, " cut"]:
    """Middles between neighbours, 0 before the first and a number above 1 after the last."""
    ends = np.array([0.0, *values, np.nextafter(1, 2)])
    middles = (ends[:-1] + ends[1:]) / 2
    # The middle of two adjacent floats is one of them, and may be the lower: on the wrong side.
    wrong = middles <= ends[:-1]
    return np.where(wrong, ends[1:], middles)
