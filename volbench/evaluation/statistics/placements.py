"""Placement values, of which areas under ROC curves and their covariances are made.

DeLong, DeLong & Clarke-Pearson (1988), in the n log n time of Sun & Xu (2014), by sorting; summed
by patient as in Obuchowski (1997).
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from volbench.errors import DataError


@dataclass(frozen=True)
class Part:
    """Areas of one fold and what their covariance is made of, in the notation of Obuchowski.

    S10, S01 and S11 are the covariances between models of the clusters' sums of placements: of
    positives, of negatives, and of the two in one cluster. NaN: one cluster only has the class.
    """

    areas: Float[np.ndarray, " model"]
    positives: int
    negatives: int
    s10: Float[np.ndarray, "model model"]
    s01: Float[np.ndarray, "model model"]
    s11: Float[np.ndarray, "model model"]

    @classmethod
    def of(
        cls,
        scores: Float[np.ndarray, "model item"],
        positive: Bool[np.ndarray, " item"],
        clusters: Int[np.ndarray, " item"],
    ) -> "Part":
        """Compare every positive case with every negative one, for each model."""
        m, n = int(positive.sum()), int((~positive).sum())
        above, below = scores[:, positive], scores[:, ~positive]
        v10 = np.stack([_placements(x, y) for x, y in zip(above, below, strict=True)])
        v01 = 1 - np.stack([_placements(y, x) for x, y in zip(above, below, strict=True)])
        areas = v10.mean(axis=1)
        number = np.unique(clusters, return_inverse=True)[1]
        total = int(number.max()) + 1
        of_positives, of_negatives = number[positive], number[~positive]
        sums10 = _sums(v10 - areas[:, None], of_positives, total)
        sums01 = _sums(v01 - areas[:, None], of_negatives, total)
        return cls(
            areas=areas,
            positives=m,
            negatives=n,
            s10=_unbiased(len(np.unique(of_positives))) / m * sums10 @ sums10.T,
            s01=_unbiased(len(np.unique(of_negatives))) / n * sums01 @ sums01.T,
            s11=_unbiased(total) * sums10 @ sums01.T,
        )


def _placements(
    scores: Float[np.ndarray, " item"], others: Float[np.ndarray, " other"]
) -> Float[np.ndarray, " item"]:
    """Share of the others that each score is above; ties count by half."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, scores, "left")
    return np.asarray((below + np.searchsorted(ordered, scores, "right")) / (2 * len(others)))


def sum_of_covariances(parts: list[Part]) -> Float[np.ndarray, "model model"]:
    """Add up the covariances of the areas of folds, which have no patient in common.

    A fold with one patient of a class has no spread of its own there; it takes the mean of the
    others'.

    Raises:
        DataError: every fold has one patient only of a class.
    """
    s10 = _filled([part.s10 for part in parts])
    s01 = _filled([part.s01 for part in parts])
    whole = np.zeros_like(s10[0])
    for part, of_positives, of_negatives in zip(parts, s10, s01, strict=True):
        m, n = part.positives, part.negatives
        # A single patient that has both classes is all there is: nothing varies with it.
        both = np.nan_to_num(part.s11 + part.s11.T)
        whole += of_positives / m + of_negatives / n + both / (m * n)
    return np.asarray(whole)


def _filled(each: list[Float[np.ndarray, "model model"]]) -> Float[np.ndarray, "part model model"]:
    known = np.array([not np.isnan(one).any() for one in each])
    if not known.any():
        raise DataError(
            "every fold holds out one patient only of a class, so the spread between patients "
            "cannot be told; use fewer folds"
        )
    stacked: Float[np.ndarray, "part model model"] = np.stack(each)
    stacked[~known] = stacked[known].mean(axis=0)
    return stacked


def _sums(
    values: Float[np.ndarray, "model item"], clusters: Int[np.ndarray, " item"], total: int
) -> Float[np.ndarray, "model cluster"]:
    sums = np.zeros((len(values), total))
    for row, model in zip(sums, values, strict=True):
        np.add.at(row, clusters, model)
    return sums


def _unbiased(clusters: int) -> float:
    return clusters / (clusters - 1) if clusters > 1 else math.nan
