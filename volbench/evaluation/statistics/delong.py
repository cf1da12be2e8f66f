"""Areas under ROC curves compared on the same cases (DeLong, DeLong & Clarke-Pearson, 1988).

Several cases of one patient by Obuchowski (1997), whose variance is DeLong's where each patient has
one case. Placement values by sorting, in the n log n time of Sun & Xu (2014).
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy import stats

from volbench.errors import DataError
from volbench.evaluation.statistics.resampled import ROUNDING, Undefined


@dataclass(frozen=True)
class PlacementSums:
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
    ) -> "PlacementSums":
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


def sum_of_covariances(parts: list[PlacementSums]) -> Float[np.ndarray, "model model"]:
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


@dataclass(frozen=True)
class Areas:
    """Areas of several models on the same cases.

    Attributes:
        areas: One per model: over all pairs of cases, or the mean over folds of the area in each.
        covariance: Of the areas, over the drawing of patients; the trained models are given.
        folds: Parts the areas are means over; 1 where scores are pooled.
        undefined: Folds left out because a class is missing in them.
    """

    areas: Float[np.ndarray, " model"]
    covariance: Float[np.ndarray, "model model"]
    folds: int
    undefined: int


@dataclass(frozen=True)
class AreaInterval:
    """An area with its standard error and interval.

    Attributes:
        area: The area.
        standard_error: Its standard error; 0 where no placement varies (an area of 1, say).
        low: Lower end of the interval, not below 0; NaN where the standard error is 0.
        high: Upper end, not above 1; NaN where the standard error is 0.
    """

    area: float
    standard_error: float
    low: float
    high: float


@dataclass(frozen=True)
class AreaTest:
    """A paired comparison of two areas; differences are first minus second.

    Attributes:
        first: Area of the first model.
        second: Area of the second one.
        difference: First less second.
        standard_error: Of the difference.
        z: Difference over its standard error.
        p: Two-sided; NaN where the difference is not 0 but has no spread.
        low: Lower end of the interval of the difference.
        high: Upper end.
        undefined: Folds left out because a class is missing in them.
    """

    first: float
    second: float
    difference: float
    standard_error: float
    z: float
    p: float
    low: float
    high: float
    undefined: int


def delong(
    labels: Int[np.ndarray, " item"],
    scores: Float[np.ndarray, "model item"],
    *,
    clusters: Shaped[np.ndarray, " item"] | None = None,
    folds: Shaped[np.ndarray, " item"] | None = None,
    undefined: Undefined = "refuse",
) -> Areas:
    """Areas of several models on the same cases, with their covariance.

    With ``folds``, only cases of one fold are compared with one another: each fold's model has its
    own scale of scores, and a pair of cases from two folds would compare scales. The area is the
    mean over folds, and the variances of the folds, which share no patient, add up. A fold with one
    patient of a class cannot tell the spread in that class; it takes the mean of the other folds'.

    Args:
        labels: 1 for the class that high scores stand for, else 0.
        scores: One row per model.
        clusters: The patient of each case; left out, each case is a patient.
        folds: The fold that held out each case; left out, all cases are compared with each other.
        undefined: What to do with a fold in which a class is missing.

    Raises:
        DataError: labels other than 0 and 1, a score that is not a number, a class that is missing,
            a patient in two folds, or fewer than two patients of a class in every fold.
    """
    positive = _positive(labels, scores)
    patients = (
        np.arange(len(labels)) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    )
    where = (
        np.zeros(len(labels), dtype=int)
        if folds is None
        else np.unique(folds, return_inverse=True)[1]
    )
    _check_disjoint(patients, where)
    parts = []
    for number in range(where.max() + 1):
        inside = where == number
        if len(np.unique(positive[inside])) == 2:
            parts.append(PlacementSums.of(scores[:, inside], positive[inside], patients[inside]))
    left_out = where.max() + 1 - len(parts)
    if left_out and (undefined == "refuse" or not parts):
        raise DataError(
            f"{left_out} of {where.max() + 1} folds hold cases of one class only and have no "
            "area; leave them out with undefined='omit', or use fewer folds"
        )
    covariance = sum_of_covariances(parts) / len(parts) ** 2
    areas = np.mean([part.areas for part in parts], axis=0)
    return Areas(areas=areas, covariance=covariance, folds=len(parts), undefined=int(left_out))


def delong_interval(
    labels: Int[np.ndarray, " item"],
    scores: Float[np.ndarray, " item"],
    *,
    clusters: Shaped[np.ndarray, " item"] | None = None,
    folds: Shaped[np.ndarray, " item"] | None = None,
    undefined: Undefined = "refuse",
    alpha: float = 0.05,
) -> AreaInterval:
    """Area of one model with its interval. Arguments and errors are those of :func:`delong`."""
    found = delong(labels, scores[None], clusters=clusters, folds=folds, undefined=undefined)
    area, error = float(found.areas[0]), _root(found.covariance[0, 0])
    if not error:
        return AreaInterval(area, error, low=math.nan, high=math.nan)
    reach = float(stats.norm.ppf(1 - alpha / 2)) * error
    return AreaInterval(area, error, low=max(0.0, area - reach), high=min(1.0, area + reach))


def delong_test(
    labels: Int[np.ndarray, " item"],
    first: Float[np.ndarray, " item"],
    second: Float[np.ndarray, " item"],
    *,
    clusters: Shaped[np.ndarray, " item"] | None = None,
    folds: Shaped[np.ndarray, " item"] | None = None,
    undefined: Undefined = "refuse",
    alpha: float = 0.05,
) -> AreaTest:
    """Paired comparison of two models. Arguments and errors are those of :func:`delong`."""
    both = np.stack([first, second])
    found = delong(labels, both, clusters=clusters, folds=folds, undefined=undefined)
    contrast = np.array([1.0, -1.0])
    difference = float(contrast @ found.areas)
    error = _root(contrast @ found.covariance @ contrast)
    difference = 0.0 if abs(difference) < ROUNDING else difference
    if error:
        z, p = difference / error, float(2 * stats.norm.sf(abs(difference) / error))
    else:
        z, p = (math.copysign(math.inf, difference), math.nan) if difference else (0.0, 1.0)
    reach = float(stats.norm.ppf(1 - alpha / 2)) * error
    return AreaTest(
        first=float(found.areas[0]),
        second=float(found.areas[1]),
        difference=difference,
        standard_error=error,
        z=z,
        p=p,
        low=difference - reach,
        high=difference + reach,
        undefined=found.undefined,
    )


def _root(variance: float) -> float:
    return math.sqrt(variance) if variance > ROUNDING**2 else 0.0


def _positive(
    labels: Int[np.ndarray, " item"], scores: Float[np.ndarray, "model item"]
) -> Bool[np.ndarray, " item"]:
    if not np.isin(labels, (0, 1)).all():
        raise DataError(
            f"label {int(labels[~np.isin(labels, (0, 1))][0])}: DeLong compares two classes, 0 and "
            "1; for more use bootstrap_difference"
        )
    if np.isnan(scores).any():
        raise DataError("a score is not a number; no area can be computed from it")
    return np.asarray(labels == 1)


def _check_disjoint(patients: Int[np.ndarray, " item"], folds: Int[np.ndarray, " item"]) -> None:
    pairs = np.unique(np.stack([patients, folds]), axis=1)
    if pairs.shape[1] > len(np.unique(patients)):
        raise DataError("a patient is in more than one fold, so the folds are not independent")
