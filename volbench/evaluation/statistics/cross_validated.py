r"""Two ways of training compared by their areas in cross-validation: the verdict of the tables.

A mean difference over folds varies for two reasons: other patients would have been held out, and
other patients would have been learned from. DeLong's variance within folds, $v$, has the first
only; the spread of the fold differences, $s^2/k$, has both, but counts training sets that share
most of their patients as independent, and is a variance of ten numbers. The larger of the two,
enlarged by half,

$$z = \bar d \,/\, \sqrt{1.5 \max(v, s^2/k)},$$

claims a difference that is not there in 2 to 6 studies of a hundred where 5 are allowed, and finds
one that is there more often than the corrected t-test, which stays below 4. The factor was chosen
by simulation: benchmarks/statistics, docs/explanation/statistics.md.
"""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float
from scipy import special

from volbench.evaluation.statistics.corrected_t_test import corrected_t_test
from volbench.evaluation.statistics.delong import Areas, bounded, z_test
from volbench.evaluation.statistics.spread import ROUNDING, spread

FACTOR = 1.5

PairTest: TypeAlias = Literal["combined", "corrected_t"]
"""``combined``: this module's; ``corrected_t``: Nadeau and Bengio's, of the fold differences."""
PairMatrix: TypeAlias = Float[np.ndarray, "model model"]


@dataclass(frozen=True, eq=False)
class PairedFolds:
    """Every pair of several ways of training on the same folds, row less column.

    Attributes:
        difference: Mean over folds.
        of_cases: DeLong's standard error within folds.
        of_folds: Standard deviation of the fold differences over the root of their number.
    """

    difference: PairMatrix
    of_cases: PairMatrix
    of_folds: PairMatrix

    @property
    def error(self) -> PairMatrix:
        """The larger standard error."""
        return np.asarray(np.maximum(self.of_cases, self.of_folds))


def paired_folds(areas: Areas) -> PairedFolds:
    """Pair all ways of training within the folds that have an area; there are at least two."""
    defined = np.isfinite(areas.by_fold).all(axis=0)
    # Contiguous, so that folds are added up in the order in which those of one pair alone are.
    by_fold = np.ascontiguousarray(areas.by_fold[:, defined])
    differences = by_fold[:, None] - by_fold[None]
    mean = differences.mean(axis=2)
    own = np.diag(areas.covariance)
    of_cases = own[:, None] + own[None] - areas.covariance - areas.covariance.T
    return PairedFolds(
        difference=np.where(np.abs(mean) < ROUNDING, 0.0, mean),
        of_cases=np.sqrt(np.where(of_cases > ROUNDING**2, of_cases, 0.0)),
        of_folds=spread(np.moveaxis(differences, 2, 0)) / math.sqrt(by_fold.shape[1]),
    )


@dataclass(frozen=True)
class CrossValidatedTest:
    """A paired comparison over folds; differences are first minus second.

    Attributes:
        difference: Mean over folds.
        standard_error: Of the difference, as a statement about training again.
        z: Difference over its standard error.
        p: Two-sided.
        low: Lower end of the interval; not below -1.
        high: Upper end; not above 1.
        detectable: True difference that is found with the asked power.
        of_cases: DeLong's standard error within folds.
        of_folds: Standard deviation of the fold differences over the root of their number.
    """

    difference: float
    standard_error: float
    z: float
    p: float
    low: float
    high: float
    detectable: float
    of_cases: float
    of_folds: float


def cross_validated_test(
    areas: Areas, *, factor: float = FACTOR, alpha: float = 0.05, power: float = 0.8
) -> CrossValidatedTest:
    """Compare the first of several ways of training with the second one.

    Where all fold differences are the same number other than 0 and no case varies either, there is
    nothing to divide by, and p is that of the sign test.

    Args:
        areas: Of both, within at least two folds that have one.
        factor: What the larger variance is multiplied by.
        alpha: Level of the test; the interval has ``1 - alpha``.
        power: Power at which ``detectable`` is found.

    Raises:
        DataError: fewer than two folds have an area.

    >>> import numpy as np
    >>> labels, folds = np.tile([0, 1], 30), np.repeat(np.arange(5), 12)
    >>> noise = np.random.default_rng(0).normal(size=(2, 60))
    >>> from volbench.evaluation.statistics import delong
    >>> test = cross_validated_test(delong(labels, labels + noise, folds=folds))
    >>> test.p > 0.05
    True
    """
    over_folds = corrected_t_test(areas.by_fold[0] - areas.by_fold[1], undefined="omit")
    pairs = paired_folds(areas)
    error = math.sqrt(factor) * float(pairs.error[0, 1])
    difference = float(pairs.difference[0, 1])
    z, p = z_test(difference, error) if error > ROUNDING else (over_folds.t, over_folds.p)
    reach = float(special.ndtri(1 - alpha / 2))
    low, high = bounded(difference, reach * error)
    return CrossValidatedTest(
        difference=difference,
        standard_error=error,
        z=z,
        p=p,
        low=low,
        high=high,
        detectable=(reach + float(special.ndtri(power))) * error,
        of_cases=float(pairs.of_cases[0, 1]),
        of_folds=float(pairs.of_folds[0, 1]),
    )
