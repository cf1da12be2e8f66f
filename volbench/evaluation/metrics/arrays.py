"""Input arrays of the metrics: labels, probabilities, thresholds."""

from typing import SupportsFloat, TypeAlias

import numpy as np
from jaxtyping import Float, Int

LabelArray = Int[np.ndarray, " item"]
"""Index of each item's true class."""

ProbabilityArray = Float[np.ndarray, "item class"]
"""One column per class."""

Threshold: TypeAlias = float | Float[np.ndarray, " item"]
"""One for all items, or one for each: folds pooled keep their own."""

UNDEFINED = float("nan")


def ratio(numerator: SupportsFloat, denominator: SupportsFloat) -> float:
    """Divide; NaN where there is nothing to divide by."""
    return float(numerator) / float(denominator) if denominator else UNDEFINED


def mean(values: Float[np.ndarray, " value"]) -> float:
    """Mean; NaN, and no warning, where there is no value."""
    return float(values.mean()) if len(values) else UNDEFINED
