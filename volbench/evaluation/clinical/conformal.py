"""Class-conditional conformal prediction sets (Vovk, 2012; Sadinle, Lei & Wasserman, 2019).

A set holds every class that a case may well have: it misses the true one in at most ``alpha`` of
the cases of each class, whatever the network is, if the calibration cases are like the new ones.
"""

import math

import numpy as np
from jaxtyping import Bool, Float, Int

from volbench.errors import DataError


def conformal_sets(
    calibration_labels: Int[np.ndarray, " calibration"],
    calibration_probabilities: Float[np.ndarray, "calibration class"],
    probabilities: Float[np.ndarray, "item class"],
    *,
    alpha: float = 0.1,
) -> Bool[np.ndarray, "item class"]:
    """Say which classes each case may have.

    A class is in the set if its probability is not among the lowest ``alpha`` of those that
    calibration cases of this class had. With fewer than 1 / alpha - 1 such cases it is in every
    set: so few cannot promise anything.

    Args:
        calibration_labels: True classes of cases that the network was not trained on.
        calibration_probabilities: What it said of them.
        probabilities: What it says of the new cases.
        alpha: Share of the cases of each class whose set may miss it.

    Raises:
        DataError: a class has no calibration case.
    """
    sets = np.zeros(probabilities.shape, dtype=bool)
    for index in range(probabilities.shape[1]):
        own = np.sort(calibration_probabilities[calibration_labels == index, index])
        if not len(own):
            raise DataError("conformal sets: a class has no case to calibrate on")
        # The k-th smallest of n, k = floor(alpha (n + 1)): the finite-sample quantile.
        rank = math.floor(alpha * (len(own) + 1) + 1e-12)
        least = own[rank - 1] if rank else -math.inf
        sets[:, index] = probabilities[:, index] >= least
    return sets


def coverage_by_class(
    labels: Int[np.ndarray, " item"], sets: Bool[np.ndarray, "item class"]
) -> Float[np.ndarray, " class"]:
    """Share of the cases of each class whose set has it; NaN where there is no case.

    >>> coverage_by_class(np.array([0, 0, 1]), np.array([[1, 0], [0, 1], [1, 1]], dtype=bool))
    array([0.5, 1. ])
    """
    hit = sets[np.arange(len(labels)), labels]
    each = [hit[labels == index] for index in range(sets.shape[1])]
    return np.array([part.mean() if len(part) else math.nan for part in each])
