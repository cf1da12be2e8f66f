"""Metrics of the order of probabilities, without a decision: ROC curve, its area, its points.

They are undefined, NaN, where a class is missing: there is no order to judge then. scikit-learn's
functions give the same numbers to the last bit, but check their input at every call, which takes
longer than the work: a table of a hundred runs makes thousands of calls.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from volbench.evaluation.metrics.arrays import UNDEFINED, LabelArray, ProbabilityArray


@dataclass(frozen=True)
class RocCurve:
    """Achieved points of a ROC curve, one per different probability, from (0, 0) to (1, 1).

    Attributes:
        false_positive_rate: One minus specificity.
        true_positive_rate: Sensitivity.
        thresholds: A point calls positive what is at least as probable as this; the first is
            infinite, where nothing is called positive.
    """

    false_positive_rate: Float[np.ndarray, " point"]
    true_positive_rate: Float[np.ndarray, " point"]
    thresholds: Float[np.ndarray, " point"]


def area_under_curve(labels: LabelArray, probabilities: ProbabilityArray) -> float:
    """Area under the ROC curve; over several classes the mean of one against the rest.

    Counted from midranks, as the share of pairs in the right order, ties by half (Hanley and
    McNeil, 1982, doi:10.1148/radiology.143.1.7063747).
    """
    if _a_class_is_missing(labels, probabilities):
        return UNDEFINED
    if probabilities.shape[1] == 2:
        return _area(labels == 1, probabilities[:, 1])
    each = [_area(labels == index, column) for index, column in enumerate(probabilities.T)]
    return float(np.mean(each))


def average_precision(labels: LabelArray, probabilities: ProbabilityArray) -> float:
    """Precision averaged over the recalls gained; over several classes one against the rest."""
    if _a_class_is_missing(labels, probabilities):
        return UNDEFINED
    columns = (1,) if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    return float(
        np.mean([_precision(labels == index, probabilities[:, index]) for index in columns])
    )


def roc_curve(labels: LabelArray, probabilities: ProbabilityArray, positive: int = 1) -> RocCurve:
    """Every achieved point of the ROC curve of one class against the rest.

    No point is left out, none is interpolated. The curve has no point where the class, or every
    other, is missing.
    """
    truth = labels == positive
    if truth.all() or not truth.any():
        nothing = np.zeros(0)
        return RocCurve(nothing, nothing, nothing)
    true, false, thresholds = _counts(truth, probabilities[:, positive])
    return RocCurve(
        np.concatenate([[0.0], false / false[-1]]),
        np.concatenate([[0.0], true / true[-1]]),
        np.concatenate([[np.inf], thresholds]),
    )


def sensitivity_at_specificity(
    labels: LabelArray, probabilities: ProbabilityArray, at: float
) -> float:
    """Best sensitivity among the achieved points of the ROC curve with at least this specificity.

    No interpolation: a point between two achieved ones is no decision rule that was tried.
    """
    curve = roc_curve(labels, probabilities)
    specific = _share(1 - curve.false_positive_rate, int((labels == 0).sum())) >= at
    return float(curve.true_positive_rate[specific].max(initial=0)) if specific.size else UNDEFINED


def specificity_at_sensitivity(
    labels: LabelArray, probabilities: ProbabilityArray, at: float
) -> float:
    """Best specificity among the achieved ROC points with at least this sensitivity."""
    curve = roc_curve(labels, probabilities)
    sensitive = _share(curve.true_positive_rate, int((labels == 1).sum())) >= at
    if not sensitive.size:
        return UNDEFINED
    return float(1 - curve.false_positive_rate[sensitive].min(initial=1))


def midranks(scores: Float[np.ndarray, " item"]) -> Float[np.ndarray, " item"]:
    """Rank from 1; equal scores share the mean of their ranks, as SciPy's ``rankdata`` has it.

    Where one is no number, no rank is. SciPy's statistics take a second to import, which every
    process that trains a fold would pay.

    >>> midranks(np.array([0.3, 0.1, 0.3, 0.2]))
    array([3.5, 1. , 3.5, 2. ])
    """
    if np.isnan(scores).any():
        return np.full(len(scores), UNDEFINED)
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[place]


def _area(truth: Bool[np.ndarray, " item"], score: Float[np.ndarray, " item"]) -> float:
    positive = int(truth.sum())
    above = midranks(score)[truth].sum() - positive * (positive + 1) / 2
    return float(above / (positive * (len(truth) - positive)))


def _precision(truth: Bool[np.ndarray, " item"], score: Float[np.ndarray, " item"]) -> float:
    """Average precision of one class against the rest."""
    true, false, _ = _counts(truth, score)
    gained = np.diff(true / true[-1], prepend=0.0)
    return float((gained * (true / (true + false)))[::-1].sum())


def _counts(
    truth: Bool[np.ndarray, " item"], score: Float[np.ndarray, " item"]
) -> tuple[Int[np.ndarray, " point"], Int[np.ndarray, " point"], Float[np.ndarray, " point"]]:
    """True and false positives at each different score, from the highest one down."""
    falling = np.argsort(-score, kind="stable")
    score, true = score[falling], np.cumsum(truth[falling])
    last = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)
    return true[last], last + 1 - true[last], score[last]


def _share(rates: Float[np.ndarray, " point"], items: int) -> Float[np.ndarray, " point"]:
    """Rates as exact quotients: 1 - 0.3 is below 0.7, and 7 of 10 is not."""
    return np.asarray(np.rint(rates * items) / max(items, 1))


def _a_class_is_missing(labels: LabelArray, probabilities: ProbabilityArray) -> bool:
    return bool(len(np.unique(labels)) < probabilities.shape[1])
