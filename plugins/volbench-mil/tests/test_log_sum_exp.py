import numpy as np
import pytest
from bags import by_case, draw, pooled
from scipy.special import logsumexp

from volbench_mil.log_sum_exp import LogSumExp


@pytest.mark.parametrize("r", [0.3, 1.0, 7.0])
def test_values_are_those_of_the_formula(r):
    tokens, mask = draw()
    expected = by_case(lambda case: np.log(np.exp(r * case).mean(axis=0)) / r, tokens, mask)
    np.testing.assert_allclose(
        pooled(LogSumExp(6, r=r), tokens, mask), expected, rtol=1e-6, atol=1e-6
    )


def test_large_features_do_not_overflow():
    tokens, mask = draw()
    expected = by_case(
        lambda case: logsumexp(1e3 * case, axis=0, b=1 / len(case)) / 1e3, tokens, mask
    )
    np.testing.assert_allclose(
        pooled(LogSumExp(6, r=1e3), tokens, mask), expected, rtol=1e-6, atol=1e-6
    )


def test_it_goes_from_the_mean_to_the_maximum():
    tokens, mask = draw()
    for r, reduce in ((1e-3, np.mean), (1e4, np.max)):
        expected = by_case(lambda case, reduce=reduce: reduce(case, axis=0), tokens, mask)
        np.testing.assert_allclose(pooled(LogSumExp(6, r=r), tokens, mask), expected, atol=2e-3)
