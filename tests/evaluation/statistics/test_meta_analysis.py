import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects

from volbench.errors import DataError
from volbench.evaluation.statistics.meta_analysis import over_data_sets, practically_best


@pytest.mark.parametrize("seed", range(5))
def test_mean_variance_and_error_are_those_of_statsmodels(seed):
    random = np.random.default_rng(seed)
    errors = random.uniform(0.01, 0.03, 6)
    differences = 0.02 + 0.06 * random.normal(size=6)
    wanted = combine_effects(differences, errors**2, method_re="chi2", use_t=True)
    found = over_data_sets(differences, errors)
    assert found.between**2 == pytest.approx(wanted.tau2)
    assert found.difference == pytest.approx(wanted.mean_effect_re)
    untruncated = max(1.0, float(wanted.scale_hksj_re))
    assert found.standard_error == pytest.approx(wanted.sd_eff_w_re * np.sqrt(untruncated))
    reach = stats.t.ppf(0.975, 5) * found.standard_error
    assert found.low == pytest.approx(found.difference - reach)
    assert found.rope.worse + found.rope.same + found.rope.better == pytest.approx(1)


@pytest.mark.parametrize("between", [0.0, 0.05])
def test_it_claims_a_difference_that_is_not_there_in_at_most_one_study_of_twenty(between):
    random = np.random.default_rng(1)
    claims = 0
    for _ in range(1000):
        errors = random.uniform(0.01, 0.03, 5)
        differences = between * random.normal(size=5) + errors * random.normal(size=5)
        claims += over_data_sets(differences, errors).p < 0.05
    assert claims < 75


def test_too_few_data_sets_and_no_spread_are_refused():
    with pytest.raises(DataError, match="1 data set: an answer over data sets needs at least 2"):
        over_data_sets(np.array([0.1]), np.array([0.1]))
    with pytest.raises(DataError, match="is not positive"):
        over_data_sets(np.array([0.1, 0.2]), np.array([0.1, 0.0]))


def of_data_sets(differences, error=0.002):
    return over_data_sets(differences, np.full(len(differences), error))


def test_where_data_sets_differ_more_than_folds_the_posterior_is_that_of_baycomp():
    """Corani's package; data sets share no patient, so its correction for folds is left out."""
    from baycomp.single import Posterior

    differences = 0.01 + 0.03 * np.random.default_rng(2).normal(size=9)
    found = of_data_sets(differences)
    theirs = Posterior(-differences.mean(), differences.var(ddof=1) / 9, 8, 0.01, 0, 0).probs()
    ours = found.rope.worse, found.rope.same, found.rope.better
    assert ours == pytest.approx(theirs[::-1], abs=1e-6)
    best = practically_best({(0, 1): found}, [0, 1], draws=200_000)
    assert best[0] == pytest.approx(1 - found.rope.worse, abs=0.005)
    assert best[1] == pytest.approx(1 - found.rope.better, abs=0.005)


def test_a_rank_test_of_many_data_sets_says_nearly_the_same():
    import baycomp

    differences = 0.012 + 0.03 * np.random.default_rng(3).normal(size=25)
    areas = np.full(25, 0.8)
    second, first = baycomp.SignedRankTest.probs(areas, areas + differences, rope=0.0)
    found = of_data_sets(differences, 0.005)
    posterior = stats.t(24, found.difference, found.standard_error)
    assert posterior.sf(0) == pytest.approx(first, abs=0.1)
    assert first > second


def test_the_best_of_several_is_found_from_all_pairs_together():
    random = np.random.default_rng(0)
    own = np.array([0.85, 0.85, 0.80, 0.70])[:, None] + 0.004 * random.normal(size=(4, 8))
    pairs = {
        (one, other): of_data_sets(own[one] - own[other])
        for one in range(4)
        for other in range(one + 1, 4)
    }
    best = practically_best(pairs, range(4))
    assert best[0] > 0.9
    assert best[1] > 0.9
    assert best[2] < 0.01
    assert best[3] < 0.01
    backwards = practically_best(pairs, [3, 2, 1, 0])
    assert [backwards[each] for each in range(4)] == pytest.approx(list(best.values()), abs=0.02)
    assert practically_best(pairs, range(4)) == best
    del pairs[1, 2]
    with pytest.raises(DataError, match="not compared with each other"):
        practically_best(pairs, range(4))
