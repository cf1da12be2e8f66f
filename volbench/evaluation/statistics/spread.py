"""Standard deviation of a few scores, in which rounding is no spread."""

from typing import Any

import numpy as np
from jaxtyping import Float

ROUNDING = 1e-12
"""Spreads below it, relative to the mean, come from rounding: equal scores have none."""


def spread(
    values: Float[np.ndarray, "item *more"], *, ddof: int = 1
) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """Standard deviation along the first axis; exactly 0 for values that differ by rounding only.

    Args:
        values: Finite scores.
        ddof: What is taken from the number of items; NaN if nothing is left.

    >>> import numpy as np
    >>> scores = np.array([0.1 + 0.2, 0.3, 0.3])
    >>> bool(scores.std(ddof=1) > 0), float(spread(scores))
    (True, 0.0)
    >>> spread(np.array([[0.5, 0.25], [0.5, 0.75]]), ddof=0).tolist()
    [0.0, 0.25]
    """
    if len(values) <= ddof:
        return np.full(values.shape[1:], np.nan)
    std = values.std(axis=0, ddof=ddof)
    scale = np.maximum(1.0, np.abs(values.mean(axis=0)))
    return np.where(std < ROUNDING * scale, 0.0, std)
