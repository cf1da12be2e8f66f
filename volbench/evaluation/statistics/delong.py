"""Areas under ROC curves compared on the same cases (DeLong, DeLong & Clarke-Pearson, 1988).

Several cases of one patient by Obuchowski (1997), whose variance is DeLong's where each patient has
one case. Placement values by sorting, in the n log n time of Sun & Xu (2014). Several classes: the
mean over classes of the area of one against the rest, whose covariance follows from the same
placements, as a mean varies with a case as the mean of what each area varies with it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy import special

from volbench.errors import DataError
from volbench.evaluation.statistics.corrected_t_test import Undefined
from volbench.evaluation.statistics.spread import ROUNDING

Covariance = Float[np.ndarray, "model model"]


@dataclass(frozen=True)
class FoldAreas:
    """Areas of one fold and what their covariance is made of.

    With two classes, ``within`` holds Obuchowski's S10 and S01, in the order of the labels (S01
    first), and ``between`` his S11 + S11ᵀ over m n.

    Attributes:
        areas: One per model; the mean over classes, where there are several.
        counts: Cases of each class.
        within: Covariance of the sums of influences of a patient's cases of one class, for each
            class, times the cases of the class. NaN where one patient only has the class.
        between: What patients who have cases of several classes add.
        patients: Numbers of the patients, sorted.
        influence: How much each area rises with each of them, scaled within each class so that the
            sum of squares over patients is an unbiased variance; 0 for a class of one patient.
    """

    areas: Float[np.ndarray, " model"]
    counts: tuple[int, ...]
    within: tuple[Covariance, ...]
    between: Covariance
    patients: Int[np.ndarray, " patient"]
    influence: Float[np.ndarray, "model patient"]

    @classmethod
    def of(
        cls,
        scores: Float[np.ndarray, "model item class"],
        labels: Int[np.ndarray, " item"],
        clusters: Int[np.ndarray, " item"],
        classes: int,
    ) -> "FoldAreas":
        """Compare the cases of each class with all others, for each model.

        Args:
            scores: One column per class, or a single one: that of class 1.
            labels: Index of the true class; every class is there.
            clusters: The patient of each case.
            classes: How many there are.
        """
        columns = range(scores.shape[2]) if scores.shape[2] > 1 else (1,)
        each = [
            _area_and_influence(scores[:, :, place], labels == index)
            for place, index in enumerate(columns)
        ]
        areas = np.mean([areas for areas, _ in each], axis=0)
        influence = np.mean([influence for _, influence in each], axis=0)
        patients, number = np.unique(clusters, return_inverse=True)
        total = len(patients)
        sums, within, counts, factors = [], [], [], []
        for index in range(classes):
            inside = labels == index
            # Two classes are centred already; of several, an area compares a class with a mixture.
            centred = influence[:, inside] - influence[:, inside].mean(axis=1, keepdims=True)
            sums.append(_sums(centred, number[inside], total))
            counts.append(int(inside.sum()))
            factors.append(_unbiased(len(np.unique(number[inside]))))
            within.append(np.asarray(factors[-1] * counts[-1] * sums[-1] @ sums[-1].T))
        whole = np.sum(sums, axis=0)
        mixed = whole @ whole.T - np.sum([part @ part.T for part in sums], axis=0)
        # A single patient that has all classes is all there is: nothing varies with it.
        between = np.nan_to_num(_unbiased(total) * mixed)
        scaled = np.sum(
            [np.sqrt(np.nan_to_num(f)) * part for f, part in zip(factors, sums, strict=True)],
            axis=0,
        )
        return cls(areas, tuple(counts), tuple(within), between, patients, scaled)


def sum_of_covariances(folds: Sequence[FoldAreas]) -> Covariance:
    """Add up the covariances of the areas of folds, which have no patient in common.

    A fold with one patient of a class has no spread of its own there; it takes the mean of the
    others'.

    Raises:
        DataError: every fold has one patient only of a class.
    """
    whole = np.sum([fold.between for fold in folds], axis=0)
    for index in range(len(folds[0].counts)):
        within = _filled([fold.within[index] for fold in folds])
        for fold, covariance in zip(folds, within, strict=True):
            whole = whole + covariance / fold.counts[index]
    return np.asarray(whole)


def covariance_by_patient(folds: Sequence[FoldAreas]) -> Covariance:
    """Covariance of the sum of the areas of folds that hold out some patients several times.

    What a patient adds to the areas of all folds is added up before it is squared.
    """
    everybody = np.unique(np.concatenate([fold.patients for fold in folds]))
    whole = np.zeros((len(folds[0].areas), len(everybody)))
    for fold in folds:
        whole[:, np.searchsorted(everybody, fold.patients)] += fold.influence
    return np.asarray(whole @ whole.T)


def _area_and_influence(
    scores: Float[np.ndarray, "model item"], positive: Bool[np.ndarray, " item"]
) -> tuple[Float[np.ndarray, " model"], Float[np.ndarray, "model item"]]:
    """The area of each model, and how much it rises with each case."""
    m, n = int(positive.sum()), int((~positive).sum())
    above, below = scores[:, positive], scores[:, ~positive]
    v10 = np.stack([_placements(x, y) for x, y in zip(above, below, strict=True)])
    v01 = 1 - np.stack([_placements(y, x) for x, y in zip(above, below, strict=True)])
    areas = v10.mean(axis=1)
    influence = np.empty_like(scores)
    influence[:, positive] = (v10 - areas[:, None]) / m
    influence[:, ~positive] = (v01 - areas[:, None]) / n
    return areas, influence


def _placements(
    scores: Float[np.ndarray, " item"], others: Float[np.ndarray, " other"]
) -> Float[np.ndarray, " item"]:
    """Share of the others that each score is above; ties count by half."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, scores, "left")
    return np.asarray((below + np.searchsorted(ordered, scores, "right")) / (2 * len(others)))


def _filled(each: Sequence[Covariance]) -> Float[np.ndarray, "fold model model"]:
    known = np.array([not np.isnan(one).any() for one in each])
    if not known.any():
        raise DataError(
            "every fold holds out one patient only of a class, so the spread between patients "
            "cannot be told; use fewer folds"
        )
    stacked: Float[np.ndarray, "fold model model"] = np.stack(each)
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
        by_fold: Areas of each fold, in the order of the folds' names; NaN where a class is missing.
        of_one_fold: Mean over folds of the covariance of the areas of a single one.
        folds: Parts the areas are means over; 1 where scores are pooled.
        undefined: Folds left out because a class is missing in them.
    """

    areas: Float[np.ndarray, " model"]
    covariance: Float[np.ndarray, "model model"]
    by_fold: Float[np.ndarray, "model fold"]
    of_one_fold: Float[np.ndarray, "model model"]
    folds: int
    undefined: int

    def pair(self, first: int, second: int) -> "Areas":
        """Two of the models, the first one first."""
        both = [first, second]
        return Areas(
            self.areas[both],
            self.covariance[np.ix_(both, both)],
            self.by_fold[both],
            self.of_one_fold[np.ix_(both, both)],
            self.folds,
            self.undefined,
        )


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
    scores: Float[np.ndarray, "model item"] | Float[np.ndarray, "model item class"],
    *,
    clusters: Shaped[np.ndarray, " item"] | None = None,
    folds: Shaped[np.ndarray, " item"] | None = None,
    repeated: bool = False,
    undefined: Undefined = "refuse",
) -> Areas:
    """Areas of several models on the same cases, with their covariance.

    With ``folds``, only cases of one fold are compared with one another: each fold's model has its
    own scale of scores, and a pair of cases from two folds would compare scales. The area is the
    mean over folds, and the variances of the folds, which share no patient, add up. A fold with one
    patient of a class cannot tell the spread in that class; it takes the mean of the other folds'.

    Args:
        labels: 1 for the class that high scores stand for, else 0; the index of the true class
            where scores have a column per class.
        scores: One row per model: a number per case, or one per case and class.
        clusters: The patient of each case; left out, each case is a patient.
        folds: The fold that held out each case; left out, all cases are compared with each other.
        repeated: Whether a patient may be held out in several folds, by random splits or repeated
            divisions; items are then cases in folds, and what a patient adds is summed over folds.
        undefined: What to do with a fold in which a class is missing.

    Raises:
        DataError: labels that are no class, a score that is not a number, a class that is missing,
            a patient in two folds, or fewer than two patients of a class in every fold.
    """
    by_class = scores if scores.ndim == 3 else scores[:, :, None]
    classes = max(2, by_class.shape[2])
    _check(labels, by_class, classes)
    if by_class.shape[2] == 2:  # the second one's says it all, as in every table
        by_class = by_class[:, :, 1:]
    patients = (
        np.arange(len(labels)) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    )
    where = (
        np.zeros(len(labels), dtype=int)
        if folds is None
        else np.unique(folds, return_inverse=True)[1]
    )
    if not repeated:
        _check_disjoint(patients, where)
    total = int(where.max()) + 1
    parts = {}
    for number in range(total):
        inside = where == number
        if len(np.unique(labels[inside])) == classes:
            parts[number] = FoldAreas.of(
                by_class[:, inside], labels[inside], patients[inside], classes
            )
    left_out = total - len(parts)
    if left_out and (undefined == "refuse" or not parts):
        raise DataError(_missing(left_out, total, classes))
    by_fold = np.full((len(by_class), total), np.nan)
    for number, part in parts.items():
        by_fold[:, number] = part.areas
    found = list(parts.values())
    of_sum = covariance_by_patient(found) if repeated else sum_of_covariances(found)
    alone = [part.influence @ part.influence.T for part in found] if repeated else [of_sum]
    return Areas(
        areas=np.asarray(np.mean([part.areas for part in found], axis=0)),
        covariance=of_sum / len(found) ** 2,
        by_fold=by_fold,
        of_one_fold=np.asarray(np.sum(alone, axis=0) / len(found)),
        folds=len(parts),
        undefined=left_out,
    )


def delong_interval(
    labels: Int[np.ndarray, " item"],
    scores: Float[np.ndarray, " item"] | Float[np.ndarray, "item class"],
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
    reach = float(special.ndtri(1 - alpha / 2)) * error
    return AreaInterval(area, error, low=max(0.0, area - reach), high=min(1.0, area + reach))


def delong_test(
    labels: Int[np.ndarray, " item"],
    first: Float[np.ndarray, " item"] | Float[np.ndarray, "item class"],
    second: Float[np.ndarray, " item"] | Float[np.ndarray, "item class"],
    *,
    clusters: Shaped[np.ndarray, " item"] | None = None,
    folds: Shaped[np.ndarray, " item"] | None = None,
    undefined: Undefined = "refuse",
    alpha: float = 0.05,
) -> AreaTest:
    """Paired comparison of two models. Arguments and errors are those of :func:`delong`."""
    both = np.stack([first, second])
    found = delong(labels, both, clusters=clusters, folds=folds, undefined=undefined)
    return area_test(found, alpha=alpha)


def area_test(areas: Areas, *, alpha: float = 0.05) -> AreaTest:
    """Compare the first of several models with the second one, given their areas."""
    one_less_other = areas.areas[:2] @ np.array([1.0, -1.0])
    difference = 0.0 if abs(one_less_other) < ROUNDING else float(one_less_other)
    spread = areas.covariance
    error = _root(float(spread[0, 0] + spread[1, 1] - spread[0, 1] - spread[1, 0]))
    low, high = bounded(difference, float(special.ndtri(1 - alpha / 2)) * error)
    z, p = z_test(difference, error)
    return AreaTest(
        first=float(areas.areas[0]),
        second=float(areas.areas[1]),
        difference=difference,
        standard_error=error,
        z=z,
        p=p,
        low=low,
        high=high,
        undefined=areas.undefined,
    )


def z_test(difference: float, error: float) -> tuple[float, float]:
    """Z and its two-sided p; without any spread p is NaN, or 1 where nothing differs."""
    if error:
        return difference / error, float(2 * special.ndtr(-abs(difference) / error))
    return (math.copysign(math.inf, difference), math.nan) if difference else (0.0, 1.0)


def bounded(difference: float, reach: float) -> tuple[float, float]:
    """Ends of an interval of a difference of two areas, which cannot leave -1 to 1.

    >>> bounded(0.5, 0.2), bounded(-0.4, 6.1)
    ((0.3, 0.7), (-1.0, 1.0))
    """
    return max(-1.0, difference - reach), min(1.0, difference + reach)


def _root(variance: float) -> float:
    return math.sqrt(variance) if variance > ROUNDING**2 else 0.0


def _check(
    labels: Int[np.ndarray, " item"], scores: Float[np.ndarray, "model item class"], classes: int
) -> None:
    known = np.isin(labels, range(classes))
    if not known.all():
        way_out = "; give a score for each class" if scores.shape[2] == 1 else ""
        raise DataError(
            f"label {int(labels[~known][0])} is not one of the {classes} classes that these scores "
            f"tell apart{way_out}"
        )
    if np.isnan(scores).any():
        raise DataError("a score is not a number; no area can be computed from it")


def _missing(left_out: int, total: int, classes: int) -> str:
    what = "cases of one class only" if classes == 2 else "no case of some class"
    return (
        f"{left_out} of {total} folds hold {what} and have no area; leave them out with "
        "undefined='omit', or use fewer folds"
    )


def _check_disjoint(patients: Int[np.ndarray, " item"], folds: Int[np.ndarray, " item"]) -> None:
    pairs = np.unique(np.stack([patients, folds]), axis=1)
    if pairs.shape[1] > len(np.unique(patients)):
        raise DataError("a patient is in more than one fold, so the folds are not independent")
