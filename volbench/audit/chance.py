r"""The area that chance alone stays below, over all rows of an audit.

Without a signal the labels of a fold are in any order. The score of a row is the mean, over folds
and classes, of the area of one class against the rest; over all orders of the labels of a fold of
$n$ cases it is a linear rank statistic $\sum_i a(i, c_i)$, whose variance is exact (Hoeffding,
1951, doi:10.1214/aoms/1177729545): $\frac{1}{n - 1} \sum_{i, j} d_{ij}^2$, where $d$ is $a$
without the means of its rows and columns, one column per case of each class. For two classes
without ties that is $(n_1 + n_0 + 1) / (12 n_1 n_0)$ (Mann and Whitney, 1947).

Cross-validation doubles it: a pair of cases of two folds is counted twice, once when the first
teaches what the second is tested by, and once the other way round.
"""

import math

import numpy as np
from jaxtyping import Float, Int
from scipy import stats
from scipy.stats import rankdata

from volbench.audit.result import Audit, AuditRow, arrays
from volbench.runs.predictions_file import Prediction

LEVEL = 0.05
"""Chance that any row of a whole audit is called more than chance where nothing is there."""


def chance_area(audit: Audit) -> float:
    """The mean area over folds that stays above all rows of an audit where nothing is there.

    The row with the largest variance counts, and the level is divided by the number of feature
    sets (Bonferroni): the models of a set find nearly the same. Cases of a patient are alike, so
    that the variance grows as if patients were counted.
    """
    sets = len({row.features for row in audit.rows})
    variance = max(_variance(row, audit.classes) for row in audit.rows)
    variance *= _alike(audit.rows[0].predictions, audit.classes)
    if len(audit.rows[0].folds) > 1:
        variance *= 2
    return float(0.5 + stats.norm.isf(LEVEL / sets) * math.sqrt(variance))


def permutation_variance(
    labels: Int[np.ndarray, " case"], probabilities: Float[np.ndarray, "case class"]
) -> float:
    """Variance of the area over all orders of these labels; NaN where a class is missing.

    >>> labels = np.array([0, 0, 0, 1, 1])
    >>> scores = np.linspace(0, 1, 5)
    >>> variance = permutation_variance(labels, np.stack([1 - scores, scores], axis=1))
    >>> round(float(variance) * 12 * 3 * 2, 9)
    6.0
    """
    cases, classes = probabilities.shape
    counts = np.bincount(labels, minlength=classes)
    if not counts.all():
        return math.nan
    weights = rankdata(probabilities, axis=0) / (counts * (cases - counts))
    if classes == 2:  # the second one's area says it all, as in every table
        weights[:, 0] = 0
    else:
        weights /= classes
    slots = np.repeat(weights, counts, axis=1)
    centred = slots - slots.mean(axis=0) - slots.mean(axis=1, keepdims=True) + slots.mean()
    return round(float((centred**2).sum() / (cases - 1)), 15)


def _variance(row: AuditRow, classes: tuple[str, ...]) -> float:
    """Of the mean over folds; 0 where no fold holds out every class."""
    labels, probabilities = arrays(row.predictions, classes)
    folds = np.array([one.fold for one in row.predictions])
    each = [permutation_variance(labels[folds == k], probabilities[folds == k]) for k in row.folds]
    defined = [one for one in each if not math.isnan(one)]
    return sum(defined) / len(defined) ** 2 if defined else 0.0


def _alike(rows: tuple[Prediction, ...], classes: tuple[str, ...]) -> float:
    """How much the variance grows because patients have several cases; 1 where none does."""

    def of(places: set[tuple[str, str]], total: int) -> float:
        counts = [sum(label == name for _, label in places) for name in classes]
        return sum(total / (count * max(1, total - count)) for count in counts if count)

    patients = len({one.patient for one in rows})
    return max(
        1.0,
        of({(one.patient, one.label) for one in rows}, patients)
        / of({(one.case, one.label) for one in rows}, len(rows)),
    )
