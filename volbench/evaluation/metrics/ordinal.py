"""Metrics of ordered classes: how far off a decision is, and whether higher grades score higher."""

import numpy as np

from volbench.evaluation.metrics.arrays import UNDEFINED, LabelArray, ProbabilityArray, ratio
from volbench.evaluation.metrics.decisions import Confusion


def quadratic_weighted_kappa(table: Confusion) -> float:
    """Agreement of decisions with grades beyond chance; a miss by two grades weighs four times.

    Cohen, 1968, doi:10.1037/h0026256. NaN where all items and decisions are of one grade.

    >>> quadratic_weighted_kappa(np.array([[2, 0, 0], [0, 2, 0], [0, 0, 2]]))
    1.0
    """
    grade = np.arange(len(table))
    weight = (grade[:, None] - grade) ** 2
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / max(table.sum(), 1)
    chance = float((weight * expected).sum())
    return 1 - float((weight * table).sum()) / chance if chance else UNDEFINED


def mean_absolute_error(table: Confusion) -> float:
    """Grades by which decisions are off, on average."""
    grade = np.arange(len(table))
    return ratio(int((np.abs(grade[:, None] - grade) * table).sum()), table.sum())


def ordinal_c_index(labels: LabelArray, probabilities: ProbabilityArray) -> float:
    """Share of pairs of different grades in which the higher one has the higher expected grade.

    Ties count by half. The expected grade is the mean of the grades, weighted by probability; of
    two grades this is the area under the ROC curve. NaN where all items are of one grade.

    >>> ordinal_c_index(np.array([0, 1]), np.array([[0.8, 0.2], [0.1, 0.9]]))
    1.0
    """
    expected = probabilities @ np.arange(probabilities.shape[1])
    right, pairs = 0.0, 0
    for grade in np.unique(labels)[:-1]:
        lower, higher = np.sort(expected[labels == grade]), expected[labels > grade]
        below = np.searchsorted(lower, higher, side="left")
        equal = np.searchsorted(lower, higher, side="right") - below
        right += float(below.sum() + equal.sum() / 2)
        pairs += len(lower) * len(higher)
    return right / pairs if pairs else UNDEFINED
