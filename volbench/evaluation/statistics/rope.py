"""Bayesian correlated t-test with a region of practical equivalence.

Corani & Benavoli (2015); Benavoli, Corani, Demšar & Zaffalon (2017).
"""

from dataclasses import dataclass

from scipy import special

from volbench.errors import UsageError
from volbench.evaluation.statistics.corrected_t_test import ResampledTest

MARGIN = 0.01
"""Differences of AUC up to this one are practically none, unless said otherwise."""


@dataclass(frozen=True)
class Rope:
    """Probabilities, given the folds, that the first candidate is worse, the same or better.

    Attributes:
        worse: That the true difference is below ``-margin``.
        same: That it is practically nothing, within ``margin``.
        better: That it is above ``margin``.
        margin: Half the width of the region, in the metric's units.
    """

    worse: float
    same: float
    better: float
    margin: float


def rope(test: ResampledTest, *, margin: float = MARGIN) -> Rope:
    r"""Divide the posterior of the true mean difference at the region's two ends.

    Under the paper's flat prior the posterior is Student's t with the corrected test's own degrees
    of freedom, centre $\bar d$ and scale $\sqrt{(1/k + \rho/(1-\rho))\,s^2}$; their correlation
    $\rho = n_\text{test}/(n_\text{test}+n_\text{train})$ makes it the standard error of Nadeau and
    Bengio.

    Args:
        test: The corrected t-test of the same differences.
        margin: Half the width of the region, in the metric's units.

    Raises:
        UsageError: the margin is negative.
    """
    if margin < 0:
        raise UsageError(f"margin {margin} is negative; 0.01 means within 0.01 either way")
    if test.standard_error == 0:
        worse, better = float(test.mean < -margin), float(test.mean > margin)
        return Rope(worse=worse, same=1 - worse - better, better=better, margin=margin)
    # scipy.special: making an object of scipy.stats takes longer than the test, of which a table
    # has thousands.
    freedom, scale = test.degrees_of_freedom, test.standard_error
    worse = float(special.stdtr(freedom, (-margin - test.mean) / scale))
    better = float(special.stdtr(freedom, -(margin - test.mean) / scale))
    return Rope(worse=worse, same=max(0.0, 1 - worse - better), better=better, margin=margin)
