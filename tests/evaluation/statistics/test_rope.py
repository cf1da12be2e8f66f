import math

import numpy as np
import pytest
from scipy import integrate, stats

from volbench.errors import UsageError
from volbench.evaluation.statistics import corrected_t_test, rope

TEN = np.array([0.03, -0.01, 0.05, 0.02, 0.00, 0.04, 0.01, 0.06, -0.02, 0.02])


def test_the_three_parts_by_hand():
    # Corani & Benavoli: Student's t, rho = 1/k, scale sqrt((1/k + rho / (1 - rho)) s^2).
    rho = 0.1
    scale = math.sqrt((1 / 10 + rho / (1 - rho)) * TEN.var(ddof=1))
    found = rope(corrected_t_test(TEN))
    assert found.margin == 0.01
    assert found.worse == pytest.approx(stats.t.cdf((-0.01 - 0.02) / scale, 9))
    assert found.better == pytest.approx(1 - stats.t.cdf((0.01 - 0.02) / scale, 9))
    assert found.worse + found.same + found.better == pytest.approx(1)


def test_the_middle_is_the_integral_of_the_density():
    test = corrected_t_test(TEN)
    n, x, s2 = 10, TEN.mean(), (1 / 10 + 1 / 9) * TEN.var(ddof=1)
    constant = math.gamma(n / 2) / (math.gamma((n - 1) / 2) * math.sqrt((n - 1) * math.pi * s2))
    density = lambda d: constant * (1 + (d - x) ** 2 / ((n - 1) * s2)) ** (-n / 2)  # noqa: E731
    assert rope(test, margin=0.015).same == pytest.approx(integrate.quad(density, -0.015, 0.015)[0])


def test_published_example():
    """scikit-learn's user guide, "Statistical comparison of models using grid search".

    Of rbf against linear it says 0.432 for practical equivalence within 0.01, from a mean
    difference of 0.01 and t = 0.750 in a hundred folds.
    """
    error = 0.01 / 0.7501
    raw = np.resize([1.0, -1.0], 100)
    spread = error / math.sqrt(1 / 100 + 1 / 9)
    found = rope(
        corrected_t_test((0.01 + raw / raw.std(ddof=1) * spread).reshape(10, 10)), margin=0.01
    )
    assert (round(found.worse, 3), round(found.same, 3), round(found.better, 3)) == (
        0.068,
        0.432,
        0.5,
    )


def test_swapping_the_models_swaps_worse_and_better():
    one, other = rope(corrected_t_test(TEN)), rope(corrected_t_test(-TEN))
    assert (one.worse, one.same, one.better) == pytest.approx(
        (other.better, other.same, other.worse)
    )


def test_without_a_region_the_probabilities_are_the_one_sided_p_values():
    test = corrected_t_test(TEN)
    found = rope(test, margin=0.0)
    assert found.same == pytest.approx(0)
    assert found.worse == pytest.approx(test.p / 2)


@pytest.mark.parametrize(
    ("everywhere", "expected"), [(0.0, "same"), (0.02, "better"), (-0.02, "worse")]
)
def test_without_spread_all_is_on_one_side(everywhere, expected):
    found = vars(rope(corrected_t_test(np.full(10, everywhere))))
    assert {key: found[key] for key in ("worse", "same", "better")} == {
        key: float(key == expected) for key in ("worse", "same", "better")
    }


def test_a_negative_region_is_refused():
    with pytest.raises(UsageError, match=r"-0\.01 is negative"):
        rope(corrected_t_test(TEN), margin=-0.01)


@pytest.mark.parametrize("margin", [0.0, 0.01, 0.03])
@pytest.mark.parametrize("runs", [1, 3])
def test_the_parts_are_those_of_the_authors_own_package(margin, runs):
    """baycomp, by the authors of the test; for ten folds, and three divisions into ten."""
    import baycomp

    random = np.random.default_rng(runs)
    one = 0.8 + 0.03 * random.normal(size=10 * runs)
    other = one - 0.01 + 0.02 * random.normal(size=10 * runs)
    theirs = baycomp.two_on_single(one, other, rope=margin, runs=runs)
    better, *same, worse = theirs
    differences = (one - other).reshape(runs, 10)
    ours = rope(corrected_t_test(differences if runs > 1 else differences[0]), margin=margin)
    assert (ours.better, ours.worse) == pytest.approx((better, worse), abs=1e-9)
    assert ours.same == pytest.approx(sum(same), abs=1e-9)
