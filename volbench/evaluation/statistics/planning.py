r"""Difference of AUC that a design can show, before anything is trained.

The variance $v$ of a mean difference over folds, were the trained networks given, follows from the
number of patients of each class by Hanley and McNeil (1982): that of the area in one fold is

$$\frac{A(1-A) + (n_1-1)(Q_1-A^2) + (n_0-1)(Q_2-A^2)}{n_0 n_1},
\qquad Q_1 = \frac{A}{2-A}, \quad Q_2 = \frac{2A^2}{1+A},$$

twice that, less what two candidates share on the same patients, is that of a difference; a mean
over $k$ folds has a $k$-th. Training again adds luck: the true variance is 1.1 to 1.7 times $v$ in
the simulations of docs/explanation/statistics.md. What the test takes for it varies from study to
study, as a variance of few folds does; power is the mean over that.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float
from scipy import optimize, stats

from volbench.errors import DataError, UsageError
from volbench.evaluation.statistics.cross_validated import FACTOR

Designs: TypeAlias = Literal["folds", "repeats", "random"]

TRAINING_LUCK = 1.4
"""Variance of training again over that of other patients: the middle of the simulated rows."""
LARGEST_DIFFERENCE = 0.5
"""Between chance and perfect: no two candidates that learn anything differ by more."""
HELD_OUT = 0.1
CHANCES = (np.arange(500) + 0.5) / 500
"""At which the distribution of a variance is taken apart."""


@dataclass(frozen=True)
class PlannedDesign:
    """What a design is expected to show.

    Attributes:
        options: Of ``volbench run``.
        test: The one that decides on it.
        trainings: Of each candidate.
        detectable: True difference found with the asked power, for one pair; None where none is.
        detectable_holm: The same at the strictest step of Holm over all pairs.
    """

    options: str
    test: Literal["combined", "corrected_t"]
    trainings: int
    detectable: float | None
    detectable_holm: float | None


@dataclass(frozen=True)
class Assumptions:
    """What has to be assumed of candidates that are not trained yet.

    Attributes:
        auc: Of the better one.
        correlation: Of the AUC of two candidates over samples of patients; on the same patients it
            is seldom below 0.4, and near 1 for candidates that nearly agree.
        training_luck: Variance of training again over that of other patients.
        power: Chance of finding the difference.
        alpha: Level of the test.
    """

    auc: float = 0.8
    correlation: float = 0.5
    training_luck: float = TRAINING_LUCK
    power: float = 0.8
    alpha: float = 0.05


def plan_designs(
    patients: Sequence[int], *, candidates: int = 2, assumptions: Assumptions | None = None
) -> list[PlannedDesign]:
    """Compare designs by the difference of AUC that they can show, the cheapest first.

    With more than two classes the AUC is the mean over classes, one against the rest; its variance
    is taken as the mean of theirs, as if they were one measurement, which is the cautious side.

    Args:
        patients: How many there are of each class. Several cases of a patient count once.
        candidates: Ways of training that are compared, in all pairs.
        assumptions: Those of `Assumptions` by default.

    Raises:
        DataError: fewer than two classes, or one with fewer than two patients.
        UsageError: a power that a test reaches without any difference.

    >>> ten = plan_designs([168, 399])[1]
    >>> ten.options, ten.trainings, round(ten.detectable, 3)
    ('--folds 10', 10, 0.067)
    """
    if len(patients) < 2 or min(patients) < 2:
        raise DataError("a comparison needs at least two classes, with two patients each")
    given = assumptions or Assumptions()
    pairs = max(1, math.comb(candidates, 2))
    return [
        PlannedDesign(
            design.options,
            design.test,
            design.differences,
            _detectable(design, patients, given, given.alpha),
            _detectable(design, patients, given, given.alpha / pairs),
        )
        for design in _designs(min(patients))
    ]


@dataclass(frozen=True)
class _Design:
    """Differences that a design gives, and what they are worth.

    Attributes:
        share: Of the patients that each training holds out.
        held_out_again: Variance over patients, in terms of that of holding each of them out once.
    """

    options: str
    test: Literal["combined", "corrected_t"]
    differences: int
    share: float
    held_out_again: float = 1.0


def _designs(fewest: int) -> list[_Design]:
    """Those that so many patients of the rarest class allow."""
    found = [
        _Design(f"--folds {folds}", "combined", folds, 1 / folds)
        for folds in (5, 10)
        if folds <= fewest
    ] or [_Design(f"--folds {fewest}", "combined", fewest, 1 / fewest)]
    folds = found[-1].differences
    found += [
        _Design(
            f"--folds 'random(splits={splits}, test={HELD_OUT:g})'",
            *("corrected_t", splits, HELD_OUT, 1 + (1 - HELD_OUT) / (splits * HELD_OUT)),
        )
        for splits in (15, 30)
        if fewest * HELD_OUT >= 1
    ]
    found += [
        _Design(f"--folds {folds} --repeats {repeats}", "corrected_t", folds * repeats, 1 / folds)
        for repeats in (3, 5, 10)
    ]
    return sorted(found, key=lambda each: each.differences)


def power_of_design(
    difference: float,
    *,
    variance_of_fold: float,
    differences: int,
    share: float,
    test: Literal["combined", "corrected_t"],
    training_luck: float = TRAINING_LUCK,
    held_out_again: float = 1.0,
    alpha: float = 0.05,
) -> float:
    """Chance that a test finds a true difference.

    Args:
        difference: The true one.
        variance_of_fold: Of the difference in one fold, the trained networks given.
        differences: Folds, splits, or folds of all repeats.
        share: Of the patients, held out each time.
        test: The one that decides.
        training_luck: Variance of training again over that of other patients.
        held_out_again: Variance over patients, in terms of that of holding each of them out once.
        alpha: Level of the test.
    """
    once = variance_of_fold * share
    true = math.sqrt(training_luck * held_out_again * once)
    spread = _relative_variances(differences - 1)
    if test == "combined":
        error = np.sqrt(FACTOR * once * np.maximum(1.0, spread))
        critical = stats.norm.ppf(1 - alpha / 2)
    else:
        ratio = 1 / differences + share / (1 - share)
        error = np.sqrt(ratio * variance_of_fold * spread)
        critical = stats.t.ppf(1 - alpha / 2, differences - 1)
    beyond = stats.norm.cdf((difference - critical * error) / true)
    below = stats.norm.cdf((-difference - critical * error) / true)
    return float(np.mean(beyond + below))


@lru_cache(maxsize=32)
def _relative_variances(degrees_of_freedom: int) -> Float[np.ndarray, " chance"]:
    """Variances as they are estimated from so many degrees of freedom, where the true one is 1."""
    return np.asarray(stats.chi2.ppf(CHANCES, degrees_of_freedom) / degrees_of_freedom)


def _detectable(
    design: _Design, patients: Sequence[int], given: Assumptions, alpha: float
) -> float | None:
    def missing(difference: float) -> float:
        return given.power - power_of_design(
            difference,
            variance_of_fold=variance_of_difference(
                patients, share=design.share, auc=given.auc, correlation=given.correlation
            ),
            differences=design.differences,
            share=design.share,
            test=design.test,
            training_luck=given.training_luck,
            held_out_again=design.held_out_again,
            alpha=alpha,
        )

    if (of_none := given.power - missing(0.0)) >= given.power:
        raise UsageError(
            f"with training luck {given.training_luck:g} at level {alpha:g}, {design.options} "
            f"claims a difference where there is none in {100 * of_none:.3g} % of studies, which "
            f"is not below the power {given.power:g}; give a larger power, or less luck"
        )
    if missing(LARGEST_DIFFERENCE) > 0:
        return None
    return float(optimize.brentq(missing, 0.0, LARGEST_DIFFERENCE, xtol=1e-5))


def variance_of_difference(
    patients: Sequence[int], *, share: float, auc: float, correlation: float
) -> float:
    """Variance of the difference of two AUCs in a fold, the trained networks given."""
    total = sum(patients)
    classes = patients[1:] if len(patients) == 2 else patients
    areas = [
        variance_of_area(max(1.0, share * count), max(1.0, share * (total - count)), auc=auc)
        for count in classes
    ]
    return 2 * (1 - correlation) * float(np.mean(areas))


def variance_of_area(positives: float, negatives: float, *, auc: float) -> float:
    """Variance of an AUC by Hanley and McNeil (1982).

    Their example: 50 patients of each kind and an area of 0.85 have a standard error of 0.0391.

    >>> round(variance_of_area(50, 50, auc=0.85) ** 0.5, 3)
    0.039
    """
    of_positives, of_negatives = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    above = (
        auc * (1 - auc)
        + (positives - 1) * (of_positives - auc**2)
        + (negatives - 1) * (of_negatives - auc**2)
    )
    return above / (positives * negatives)
