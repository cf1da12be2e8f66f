"""Patient-clustered bootstrap: intervals of metrics and paired differences (Efron, 1979).

Patients are drawn with replacement, with all their cases (Field & Welsh, 2007). BCa intervals:
Efron (1987), with the acceleration of several samples, as one stratum is one sample.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy import stats

from volbench.errors import DataError
from volbench.evaluation.metrics import area_under_curve
from volbench.evaluation.statistics.patient_bootstrap import (
    Clusters,
    check_resamples,
    clusters_of,
    mean_over_folds,
    presence,
    weighted_areas,
)

RESAMPLES = 2000

Metric: TypeAlias = Callable[[np.ndarray, np.ndarray], float]
"""Of labels [item] and probabilities [item class]; NaN where it is not defined."""

Method: TypeAlias = Literal["percentile", "bca"]


@dataclass(frozen=True)
class BootstrapInterval:
    """A metric with its interval over the drawing of patients.

    Attributes:
        estimate: The metric of the cases as they are.
        standard_error: Standard deviation over the resamples.
        low: Lower end of the interval.
        high: Upper end.
        resamples: Resamples in which the metric is defined.
        undefined: Resamples in which it is not; they are left out.
    """

    estimate: float
    standard_error: float
    low: float
    high: float
    resamples: int
    undefined: int


@dataclass(frozen=True)
class BootstrapDifference(BootstrapInterval):
    """Difference of a metric between two models on the same resamples, first minus second.

    Attributes:
        p: Two-sided: twice the smaller share of resamples on one side of 0, counting the data
            themselves as one, so never below 2 / (resamples + 1).
    """

    p: float


def bootstrap_interval(
    labels: Int[np.ndarray, " item"],
    probabilities: Float[np.ndarray, "item class"],
    *,
    metric: Metric = area_under_curve,
    clusters: Shaped[np.ndarray, " item"] | None = None,
    folds: Shaped[np.ndarray, " item"] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    method: Method = "percentile",
    alpha: float = 0.05,
) -> BootstrapInterval:
    """Interval of a metric over the drawing of patients; the trained models are given.

    Patients are drawn within strata: those with cases of one class only, by class, and those with
    cases of several. Where a fold has fewer than five patients of a class, they are drawn within
    their folds (doubled half bootstrap), so that no class is lost.
    :func:`volbench.evaluation.metrics.area_under_curve` is computed for many resamples at once; any
    other metric is called once per resample (and fold).

    Args:
        labels: Index of the true class.
        probabilities: One column per class.
        metric: What to compute.
        clusters: The patient of each case; left out, each case is a patient.
        folds: The fold that held out each case. Given, the metric is the mean over folds of its
            value in each, as in a table of folds; a fold in which it is not defined is left out of
            the mean. Left out, all cases are pooled.
        resamples: How many.
        seed: Seed of the drawing; the same seed draws the same patients.
        method: ``percentile``, or ``bca``, which corrects for bias and skewness.
        alpha: The interval has ``1 - alpha``.

    Raises:
        DataError: no cases, or the metric is not defined on them or on the resamples.
        UsageError: too few resamples.
    """
    score = _Scorer(labels, metric, clusters, folds)
    found, _ = _interval(lambda w: score(probabilities, w), score, resamples, seed, method, alpha)
    return found


def bootstrap_difference(
    labels: Int[np.ndarray, " item"],
    first: Float[np.ndarray, "item class"],
    second: Float[np.ndarray, "item class"],
    *,
    metric: Metric = area_under_curve,
    clusters: Shaped[np.ndarray, " item"] | None = None,
    folds: Shaped[np.ndarray, " item"] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    method: Method = "percentile",
    alpha: float = 0.05,
) -> BootstrapDifference:
    """Difference of a metric between two models, both scored on each of the same resamples.

    Arguments and errors are those of :func:`bootstrap_interval`.
    """
    score = _Scorer(labels, metric, clusters, folds)

    def difference(weights: Float[np.ndarray, "resample item"]) -> Float[np.ndarray, " resample"]:
        return np.asarray(score(first, weights) - score(second, weights))

    found, values = _interval(difference, score, resamples, seed, method, alpha)
    smaller = min(int((values <= 0).sum()), int((values >= 0).sum()))
    p = min(1.0, 2 * (smaller + 1) / (len(values) + 1))
    return BootstrapDifference(**vars(found), p=p)


Statistic: TypeAlias = Callable[[np.ndarray], np.ndarray]


class _Scorer:
    """The metric of one model, for several sets of weights of the cases."""

    def __init__(
        self,
        labels: Int[np.ndarray, " item"],
        metric: Metric,
        clusters: Shaped[np.ndarray, " item"] | None,
        folds: Shaped[np.ndarray, " item"] | None,
    ) -> None:
        self.labels, self.metric = labels, metric
        self.clusters = clusters_of(labels, clusters, folds)
        self.patients = self.clusters.of_case
        where = np.zeros(len(labels)) if folds is None else folds
        self.parts = [np.flatnonzero(where == fold) for fold in np.unique(where)]

    def __call__(
        self,
        probabilities: Float[np.ndarray, "item class"],
        weights: Float[np.ndarray, "resample item"],
    ) -> Float[np.ndarray, " resample"]:
        if self.metric is not area_under_curve:
            return self._folds([self._called(probabilities, weights, p) for p in self.parts])
        count = probabilities.shape[1]
        complete = [part for part in self.parts if len(np.unique(self.labels[part])) == count]
        if not complete:
            return np.full(len(weights), np.nan)
        each = [
            self._folds([self._area(probabilities, weights, part, index) for part in complete])
            for index in (range(count) if count > 2 else (1,))
        ]
        return np.asarray(np.mean(each, axis=0))

    def _folds(self, each: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        values, counts = (np.stack(side) for side in zip(*each, strict=True))
        return mean_over_folds(values, counts)

    def _area(
        self, probabilities: np.ndarray, weights: np.ndarray, part: np.ndarray, index: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Area of a class against the rest in a fold, and how much the fold counts."""
        positive, drawn = self.labels[part] == index, weights[:, part]
        return (
            weighted_areas(positive, probabilities[part, index], drawn),
            presence(drawn, positive, self.patients[part])
            * presence(drawn, ~positive, self.patients[part]),
        )

    def _called(
        self, probabilities: np.ndarray, weights: np.ndarray, part: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Any metric in a fold, and how much the fold counts."""
        labels, drawn_here = self.labels[part], weights[:, part]
        found = np.full(len(weights), np.nan)
        for row, often in enumerate(drawn_here.astype(int)):
            drawn = np.repeat(part, often)
            if len(drawn):
                found[row] = self.metric(self.labels[drawn], probabilities[drawn])
        counts = np.ones(len(weights))
        for index in np.unique(labels):
            alone = presence(drawn_here, labels == index, self.patients[part])
            if np.isnan(found[alone == 0]).all():  # the metric needs that class
                counts = counts * alone
        return found, counts


def _interval(
    statistic: Statistic, score: _Scorer, resamples: int, seed: int, method: Method, alpha: float
) -> tuple[BootstrapInterval, np.ndarray]:
    """The interval, and the statistic in each resample in which it is defined."""
    found, values = _resampled(statistic, score, resamples, seed)
    low, high = _ends(found, values, statistic, score.clusters, method, alpha)
    interval = BootstrapInterval(
        estimate=found,
        standard_error=float(values.std(ddof=1)),
        low=low,
        high=high,
        resamples=len(values),
        undefined=resamples - len(values),
    )
    return interval, values


def _resampled(
    statistic: Statistic, score: _Scorer, resamples: int, seed: int
) -> tuple[float, np.ndarray]:
    check_resamples(resamples)
    found = float(statistic(np.ones((1, len(score.labels))))[0])
    if np.isnan(found):
        raise DataError("the metric is not defined on these cases: a class is missing")
    values = _over(statistic, score.clusters.draws(resamples, seed))
    defined = values[~np.isnan(values)]
    if len(defined) < resamples / 2:
        raise DataError(
            f"the metric is not defined in {resamples - len(defined)} of {resamples} resamples; "
            "there are too few patients of a class for an interval"
        )
    return found, defined


def _ends(
    found: float,
    values: np.ndarray,
    statistic: Statistic,
    clusters: Clusters,
    method: Method,
    alpha: float,
) -> tuple[float, float]:
    tails = np.array([alpha / 2, 1 - alpha / 2])
    if method == "bca" and np.ptp(values) > 0:
        tails = _corrected(found, values, _over(statistic, clusters.left_out()), clusters, tails)
    low, high = np.quantile(values, tails)
    return float(low), float(high)


def _corrected(
    found: float, values: np.ndarray, left_out: np.ndarray, clusters: Clusters, tails: np.ndarray
) -> np.ndarray:
    share = ((values < found).sum() + (values <= found).sum()) / (2 * len(values))
    # A share of 0 or 1 would send the correction to infinity; half a resample is the finest step.
    step = 0.5 / len(values)
    bias = stats.norm.ppf(np.clip(share, step, 1 - step))
    cubes = squares = 0.0
    ends = np.cumsum([len(stratum) for stratum in clusters.strata])[:-1]
    for each in np.split(left_out, ends):
        if np.isnan(each).all():
            continue
        influence = (len(each) - 1) * np.nan_to_num(np.nanmean(each) - each) / len(each)
        cubes += float((influence**3).sum())
        squares += float((influence**2).sum())
    acceleration = cubes / (6 * squares**1.5) if squares else 0.0
    z = bias + stats.norm.ppf(tails)
    return np.asarray(stats.norm.cdf(bias + z / (1 - acceleration * z)))


def _over(statistic: Statistic, chunks: Iterable[np.ndarray]) -> np.ndarray:
    return np.concatenate([statistic(weights) for weights in chunks])
