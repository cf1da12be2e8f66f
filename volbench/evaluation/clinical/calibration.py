r"""Calibration intercept and slope (Cox, 1958; Van Calster et al., 2019); recalibration by them.

With $\operatorname{logit} P(y = 1) = a + b \operatorname{logit} p$, a slope $b$ below 1 says that
probabilities are too extreme, as after overfitting. The intercept is that of a model in which $b$
is 1 (calibration in the large): below 0, probabilities are too high on average.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit

from volbench.errors import DataError

LEAST = 1e-7
"""Probabilities nearer to 0 or 1 count as this near, so that their logit is a number."""
MOST_STEPS = 50


@dataclass(frozen=True)
class CalibrationLine:
    """How probabilities relate to what came true; 0 and 1 are perfect.

    Attributes:
        intercept: With the slope fixed at 1; 0 means that the mean probability is right.
        slope: Of the logits; NaN where classes are separated completely and it has no finite value.
        offset: Intercept of the line with that slope, by which probabilities are recalibrated.
    """

    intercept: float
    slope: float
    offset: float


def calibration_line(
    labels: Int[np.ndarray, " item"], probabilities: Float[np.ndarray, " item"]
) -> CalibrationLine:
    """Fit both logistic regressions by Newton's method.

    Raises:
        DataError: one of the two classes is missing.

    >>> line = calibration_line(np.array([0, 0, 1, 0, 1, 1]), np.array([.1, .3, .4, .6, .7, .9]))
    >>> round(line.intercept, 3), round(line.slope, 3)
    (0.0, 1.505)
    """
    if len(np.unique(labels)) < 2:
        raise DataError("calibration: one of the two classes is missing")
    x = logit(probabilities)
    (intercept,) = _fitted(np.ones((len(x), 1)), labels, offset=x)
    offset, slope = _fitted(np.stack([np.ones_like(x), x], axis=1), labels, offset=np.zeros(len(x)))
    return CalibrationLine(float(intercept), float(slope), float(offset))


def recalibrated(
    probabilities: Float[np.ndarray, " item"], line: CalibrationLine
) -> Float[np.ndarray, " item"]:
    """Apply a line that was fitted on other cases; unchanged where it has no finite slope.

    >>> recalibrated(np.array([0.5]), CalibrationLine(intercept=0.0, slope=2.0, offset=0.0))
    array([0.5])
    """
    if not math.isfinite(line.slope):
        return probabilities
    return np.asarray(1 / (1 + np.exp(-(line.offset + line.slope * logit(probabilities)))))


def logit(probabilities: Float[np.ndarray, " item"]) -> Float[np.ndarray, " item"]:
    """Log odds; 0 and 1 count as nearly so."""
    inside = np.clip(probabilities, LEAST, 1 - LEAST)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def _fitted(
    columns: Float[np.ndarray, "item column"],
    labels: Int[np.ndarray, " item"],
    *,
    offset: Float[np.ndarray, " item"],
) -> Float[np.ndarray, " column"]:
    """Coefficients of a logistic regression; NaN where they run away (separated classes)."""
    found = np.zeros(columns.shape[1])
    for _ in range(MOST_STEPS):
        mean = expit(offset + columns @ found)
        information = (columns * (mean * (1 - mean))[:, None]).T @ columns
        try:
            step = np.linalg.solve(information, columns.T @ (labels - mean))
        except np.linalg.LinAlgError:
            break
        # A step of Newton's from far away can overshoot; a bounded one never leaves the valley.
        found = found + step * min(1.0, 5 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-10:
            return found
        if np.abs(found).max() > 1e3:
            break
    return np.full(columns.shape[1], np.nan)
