"""Calibration metrics: Brier score, log loss, calibration error, reliability bins."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float

from volbench.evaluation.metrics.arrays import LabelArray, ProbabilityArray, mean
from volbench.evaluation.metrics.decisions import predicted_class

CALIBRATION_BINS = 10

LEAST_PROBABILITY = float(np.finfo(np.float32).eps)
"""What a smaller probability of the true class counts as, so that one sure mistake is finite."""

Binning: TypeAlias = Literal["width", "count"]


@dataclass(frozen=True)
class ReliabilityBin:
    """Items of similar probability: a point of a calibration plot.

    Attributes:
        low, high: Bounds; an item at a bound is in the upper bin, at 1 in the last.
        items: How many items; never zero.
        probability: Their mean probability.
        observed: The share of them that it came true for.
    """

    low: float
    high: float
    items: int
    probability: float
    observed: float


def brier(labels: LabelArray, probabilities: ProbabilityArray) -> float:
    """Brier (1950) score: squared error of the probabilities; of two classes, of the second one."""
    if probabilities.shape[1] == 2:
        return mean((probabilities[:, 1] - labels) ** 2)
    truth = np.eye(probabilities.shape[1])[labels]
    return mean(((probabilities - truth) ** 2).sum(axis=1))


def log_loss(labels: LabelArray, probabilities: ProbabilityArray) -> float:
    """Mean negative natural logarithm of the true class's probability."""
    return mean(_cost(labels, probabilities))


def balanced_log_loss(labels: LabelArray, probabilities: ProbabilityArray) -> float:
    """Mean over the classes present of the mean negative log probability of the true class."""
    cost = _cost(labels, probabilities)
    return mean(np.array([cost[labels == index].mean() for index in np.unique(labels)]))


def reliability_bins(
    labels: LabelArray,
    probabilities: ProbabilityArray,
    *,
    of: int | None = None,
    bins: int = CALIBRATION_BINS,
    binning: Binning = "width",
) -> list[ReliabilityBin]:
    """Put items of similar probability together; bins without an item are left out.

    Args:
        labels: Index of the true class.
        probabilities: One column per class.
        of: The class whose probability is meant; None means the most probable class of each item,
            and coming true means that it was right (Guo et al., 2017, arXiv:1706.04599).
        bins: How many.
        binning: ``width`` for bins of equal width from 0 to 1, ``count`` for bins between the
            quantiles, which hold about as many items each.
    """
    if not len(labels):
        return []
    if of is None:
        likely = predicted_class(probabilities)
        probability, true = probabilities[np.arange(len(labels)), likely], likely == labels
    else:
        probability, true = probabilities[:, of], labels == of
    edges = _edges(probability, bins, binning)
    places = np.searchsorted(edges[1:-1], probability, side="right")
    return [
        ReliabilityBin(
            low=float(edges[place]),
            high=float(edges[place + 1]),
            items=int((places == place).sum()),
            probability=float(probability[places == place].mean()),
            observed=float(true[places == place].mean()),
        )
        for place in np.unique(places)
    ]


def calibration_error(labels: LabelArray, probabilities: ProbabilityArray) -> float:
    """Expected calibration error (Guo et al., 2017): of the most probable class, ten equal bins."""
    found = reliability_bins(labels, probabilities)
    gaps = np.array([abs(each.observed - each.probability) * each.items for each in found])
    return float(gaps.sum() / len(labels)) if found else float("nan")


def _edges(
    probability: Float[np.ndarray, " item"], bins: int, binning: Binning
) -> Float[np.ndarray, " edge"]:
    # A quotient, not a sum of widths: 3 / 10 is the number that is written 0.3.
    shares = np.arange(bins + 1) / bins
    if binning == "width":
        return shares
    return np.array([0.0, *np.unique(np.quantile(probability, shares[1:-1])), 1.0])


def _cost(labels: LabelArray, probabilities: ProbabilityArray) -> Float[np.ndarray, " item"]:
    of_truth = probabilities[np.arange(len(labels)), labels]
    return np.asarray(-np.log(np.maximum(of_truth, LEAST_PROBABILITY)))
