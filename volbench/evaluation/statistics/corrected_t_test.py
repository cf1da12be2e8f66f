"""Corrected resampled t-test (Nadeau & Bengio, 2003; repeats: Bouckaert & Frank, 2004).

The training sets of two folds share most of their patients, so the scores of two folds are not
independent, and the plain paired t-test finds differences that are not there. The correction
enlarges the variance of the mean difference from $s^2/k$ to $(1/k + n_test/n_train) s^2$.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Bool, Float
from scipy import optimize, special, stats

from volbench.errors import DataError
from volbench.evaluation.statistics.spread import ROUNDING, spread

Undefined: TypeAlias = Literal["refuse", "omit"]


@dataclass(frozen=True)
class ResampledTest:
    """Result of the corrected t-test; differences are first minus second, in the metric's units.

    Attributes:
        mean: Mean difference.
        std: Standard deviation of the differences (ddof 1).
        standard_error: Corrected standard error of the mean.
        t: Corrected t statistic.
        degrees_of_freedom: Number of differences less one.
        p: Two-sided.
        low: Lower end of the interval of the mean difference.
        high: Upper end.
        smallest_significant: Mean differences beyond it are significant, given this ``std``.
        detectable: True difference that such a design finds with the asked power.
        folds: Differences used.
        undefined: Differences left out because a fold had no score.
    """

    mean: float
    std: float
    standard_error: float
    t: float
    degrees_of_freedom: int
    p: float
    low: float
    high: float
    smallest_significant: float
    detectable: float
    folds: int
    undefined: int


def corrected_t_test(
    differences: Float[np.ndarray, "*repeat fold"],
    *,
    test_to_train: float | Float[np.ndarray, "*repeat fold"] | None = None,
    undefined: Undefined = "refuse",
    alpha: float = 0.05,
    power: float = 0.8,
) -> ResampledTest:
    r"""Test whether the mean of paired differences over folds is zero.

    With $r$ repeats of $k$ folds, $t = \bar d / \sqrt{(1/(rk) + n_\text{test}/n_\text{train}) s^2}$
    has $rk - 1$ degrees of freedom. Repeats are divisions into *different* folds. Several seeds on
    the same folds hold out the same patients again: average them first, ``differences.mean(0)``.

    Where all differences are one and the same number, there is no spread to divide by. If it is 0,
    nothing differs (p = 1); otherwise p is that of the sign test, $2^{1-rk}$.

    Args:
        differences: Score of the first candidate less that of the second, on the same folds.
        test_to_train: Held-out cases per case learned from, in all or in each of the folds (then
            the mean counts). Left out, it is that of k-fold cross-validation, $1/(k-1)$. Cases
            that pick the checkpoint are learned from, too.
        undefined: What to do with a fold without a score (NaN: a class is missing in it).
        alpha: Level of the test; the interval has $1 - \alpha$.
        power: Power at which ``detectable`` is found.

    Raises:
        DataError: a difference is undefined and not to be left out; fewer than two remain; a ratio
            is not positive.
    """
    values = differences.ravel()
    if not np.isfinite(values).all() and undefined == "refuse":
        where = int(np.flatnonzero(~np.isfinite(values))[0])
        raise DataError(
            f"difference {where + 1} of {len(values)} is {values[where]}: the metric is not "
            "defined in that fold; leave such folds out with undefined='omit', or use fewer folds"
        )
    kept = np.isfinite(values)
    used = values[kept]
    if len(used) < 2:
        raise DataError(
            f"{len(used)} fold with a score: the spread between folds needs at least 2; "
            "compare by held-out cases instead (delong_test, bootstrap_difference)"
        )
    ratio = _ratio(test_to_train, differences.shape, kept)
    degrees = len(used) - 1
    mean = float(used.mean())
    std = float(spread(used))
    if not std:
        return _without_spread(mean, len(used), len(values))
    error = math.sqrt(1 / len(used) + ratio) * std
    reach = float(special.stdtrit(degrees, 1 - alpha / 2)) * error
    return ResampledTest(
        mean=mean,
        std=std,
        standard_error=error,
        t=mean / error,
        degrees_of_freedom=degrees,
        p=float(2 * special.stdtr(degrees, -abs(mean) / error)),
        low=mean - reach,
        high=mean + reach,
        smallest_significant=reach,
        detectable=detectable_effect(degrees, alpha=alpha, power=power) * error,
        folds=len(used),
        undefined=len(values) - len(used),
    )


@lru_cache
def detectable_effect(degrees_of_freedom: int, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """Find the true difference, in standard errors, that a two-sided t-test detects with a power.

    Solves the power function of the noncentral t distribution.
    """
    critical = float(stats.t.ppf(1 - alpha / 2, degrees_of_freedom))

    def shortfall(effect: float) -> float:
        above = stats.nct.sf(critical, degrees_of_freedom, effect)
        below = stats.nct.cdf(-critical, degrees_of_freedom, effect)
        # Far from 0 the lower tail is nothing, and scipy says NaN.
        return float(above + np.nan_to_num(below)) - power

    enough = critical
    while shortfall(enough) < 0:
        enough += critical / 2
    return float(optimize.brentq(shortfall, 0.0, enough))


def _ratio(
    given: float | np.ndarray | None, shape: tuple[int, ...], kept: Bool[np.ndarray, " difference"]
) -> float:
    if given is None:
        return 1 / (shape[-1] - 1)
    each = np.broadcast_to(np.asarray(given, dtype=float), shape).ravel()[kept]
    if not (each > 0).all():
        raise DataError(f"held-out cases per training case: {each.min()} is not a positive number")
    return float(each.mean())


def _without_spread(mean: float, used: int, total: int) -> ResampledTest:
    mean = 0.0 if abs(mean) < ROUNDING else mean
    return ResampledTest(
        mean=mean,
        std=0.0,
        standard_error=0.0,
        t=math.copysign(math.inf, mean) if mean else 0.0,
        degrees_of_freedom=used - 1,
        p=2.0 ** (1 - used) if mean else 1.0,
        low=mean,
        high=mean,
        smallest_significant=0.0,
        detectable=0.0,
        folds=used,
        undefined=total - used,
    )
