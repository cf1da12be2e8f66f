import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects

from volbench.errors import DataError
from volbench.evaluation.statistics.meta_analysis import over_data_sets


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
