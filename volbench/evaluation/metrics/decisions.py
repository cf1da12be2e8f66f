"""Metrics of decisions: a threshold makes classes of probabilities, a table counts them.

All are quotients of counts, and NaN where the denominator is zero. scikit-learn has them too, but
checks its input at every call, of which a bootstrap makes thousands, and warns where we say NaN.
"""

import math

import numpy as np
from jaxtyping import Int

from volbench.evaluation.metrics.arrays import (
    UNDEFINED,
    LabelArray,
    ProbabilityArray,
    Threshold,
    ratio,
)

Confusion = Int[np.ndarray, "true predicted"]
"""Counts: a row per true class, a column per predicted one."""


def predicted_class(probabilities: ProbabilityArray, threshold: Threshold = 0.5) -> LabelArray:
    """Of two classes the second from the threshold on; of several the most probable.

    Args:
        probabilities: One column per class.
        threshold: For all items or for each; used with two classes only.
    """
    if probabilities.shape[1] == 2:
        return (probabilities[:, 1] >= threshold).astype(np.int64)
    return np.asarray(probabilities.argmax(axis=1), dtype=np.int64)


def confusion(labels: LabelArray, predicted: LabelArray, classes: int) -> Confusion:
    """Count how often each class was taken for each."""
    counts = np.bincount(labels * classes + predicted, minlength=classes**2)
    return counts.reshape(classes, classes)


def accuracy(table: Confusion) -> float:
    """Share of right decisions."""
    return ratio(np.trace(table), table.sum())


def recall(table: Confusion, index: int) -> float:
    """Share of a class that is found; NaN where the class is missing.

    Of two classes, the recall of the second is the sensitivity, of the first the specificity.
    """
    return ratio(table[index, index], table[index].sum())


def balanced_accuracy(table: Confusion) -> float:
    """Mean of the recalls; NaN where a class is missing."""
    return float(np.mean([recall(table, index) for index in range(len(table))]))


def precision(table: Confusion, index: int) -> float:
    """Share of the decisions for a class that are right; NaN where it was never decided for."""
    return ratio(table[index, index], table[:, index].sum())


def f1(table: Confusion) -> float:
    """Harmonic mean of precision and recall; of two classes for the second, else their mean.

    From the counts, 2 TP / (2 TP + FP + FN): zero where a class that is there is never found, NaN
    only where it is neither there nor decided for.
    """
    each = [
        ratio(2 * table[index, index], table[index].sum() + table[:, index].sum())
        for index in range(len(table))
    ]
    return each[1] if len(table) == 2 else float(np.mean(each))


def matthews(table: Confusion) -> float:
    """Matthews correlation of truth and decision; R_K of Gorodkin (2004) for several classes.

    NaN where all items are of one class. Zero where all decisions are the same: the quotient is
    0/0 there, and a constant tells nothing of the truth (as in scikit-learn).
    """
    total = int(table.sum())
    true, predicted = table.sum(axis=1).astype(float), table.sum(axis=0).astype(float)
    spread_true = total**2 - float(true @ true)
    spread_predicted = total**2 - float(predicted @ predicted)
    if not spread_true:
        return UNDEFINED
    if not spread_predicted:
        return 0.0
    covariance = int(np.trace(table)) * total - float(true @ predicted)
    return covariance / math.sqrt(spread_true * spread_predicted)
