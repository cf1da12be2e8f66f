import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.datasets import make_moons
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.svm import SVC

from volbench.errors import DataError
from volbench.evaluation.statistics import corrected_t_test, detectable_effect

TEN = np.array([0.03, -0.01, 0.05, 0.02, 0.00, 0.04, 0.01, 0.06, -0.02, 0.02])
differences = st.lists(
    st.floats(-0.5, 0.5).map(lambda x: round(x, 4)), min_size=3, max_size=12
).filter(lambda values: len(set(values)) > 1)


def test_ten_folds_by_hand():
    # The differences sum to 0.2 and their squares to 0.01.
    variance = (0.0100 - 10 * 0.02**2) / 9
    error = math.sqrt((1 / 10 + 1 / 9) * variance)
    found = corrected_t_test(TEN)
    assert found.mean == pytest.approx(0.02)
    assert found.std == pytest.approx(math.sqrt(variance))
    assert found.standard_error == pytest.approx(error)
    assert found.t == pytest.approx(0.02 / error)
    assert found.degrees_of_freedom == 9
    assert found.p == pytest.approx(2 * stats.t.cdf(-0.02 / error, 9))
    assert (found.low, found.high) == pytest.approx(
        (0.02 - 2.262157163 * error, 0.02 + 2.262157163 * error)
    )
    assert (found.folds, found.undefined) == (10, 0)


@pytest.mark.parametrize("alpha", [0.1, 0.01])
def test_the_interval_has_the_level_that_was_asked_for(alpha):
    found = corrected_t_test(TEN, alpha=alpha)
    reach = stats.t.isf(alpha / 2, 9) * found.standard_error
    assert (found.low, found.high) == pytest.approx((0.02 - reach, 0.02 + reach))
    assert found.smallest_significant == pytest.approx(reach)


def test_ten_folds_must_differ_by_one_standard_deviation_and_a_bit():
    found = corrected_t_test(TEN)
    assert found.smallest_significant / found.std == pytest.approx(2.26216 * 0.459468, rel=1e-5)
    assert found.smallest_significant / found.std == pytest.approx(1.04, abs=0.005)
    moved = TEN - TEN.mean() + found.smallest_significant
    assert corrected_t_test(moved).p == pytest.approx(0.05)


def test_without_the_correction_it_is_the_paired_t_test():
    # A ratio near 0 leaves 1/k.
    plain = stats.ttest_1samp(TEN, 0)
    found = corrected_t_test(TEN, test_to_train=1e-15)
    assert (found.t, found.p) == pytest.approx((plain.statistic, plain.pvalue))
    interval = plain.confidence_interval()
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_published_example_of_a_hundred_folds():
    """scikit-learn's user guide, "Statistical comparison of models using grid search".

    For rbf against linear it prints corrected t 0.750, one-sided p 0.227, uncorrected t 2.611, and
    -0.016445 to 0.036445 for the central 95 %.
    """
    features, labels = make_moons(noise=0.352, random_state=1, n_samples=100)
    folds = RepeatedStratifiedKFold(n_splits=10, n_repeats=10, random_state=0)
    rbf, linear = (
        cross_val_score(SVC(kernel=kernel), features, labels, scoring="roc_auc", cv=folds)
        for kernel in ("rbf", "linear")
    )
    found = corrected_t_test((rbf - linear).reshape(10, 10))
    assert round(found.t, 3) == 0.750
    assert round(found.p / 2, 3) == 0.227
    assert (round(found.low, 6), round(found.high, 6)) == (-0.016445, 0.036445)
    assert found.degrees_of_freedom == 99
    assert round(corrected_t_test(rbf - linear, test_to_train=1e-15).t, 3) == 2.611


def test_repeats_divide_by_their_number_and_keep_the_ratio_of_one_repeat():
    three = np.stack([TEN, TEN[::-1] + 0.01, 2 * TEN])
    found = corrected_t_test(three)
    error = math.sqrt((1 / 30 + 1 / 9) * three.var(ddof=1))
    assert (found.standard_error, found.degrees_of_freedom) == (pytest.approx(error), 29)


def test_unequal_folds_count_by_their_mean_ratio():
    ratios = np.array([10 / 90, 20 / 80, 30 / 70])
    found = corrected_t_test(np.array([0.1, 0.2, 0.4]), test_to_train=ratios)
    one = corrected_t_test(np.array([0.1, 0.2, 0.4]), test_to_train=float(ratios.mean()))
    assert found == one
    assert found.standard_error == pytest.approx(
        math.sqrt(1 / 3 + ratios.mean()) * np.std([0.1, 0.2, 0.4], ddof=1)
    )


def test_a_fold_without_a_score_is_refused_unless_it_is_to_be_left_out():
    holed = TEN.copy()
    holed[3] = np.nan
    with pytest.raises(DataError, match=r"difference 4 of 10 is nan.*undefined='omit'"):
        corrected_t_test(holed)
    found = corrected_t_test(holed, undefined="omit")
    assert (found.folds, found.undefined, found.degrees_of_freedom) == (9, 1, 8)
    # The folds that are left still learned from nine tenths of the cases.
    assert found.standard_error == pytest.approx(
        math.sqrt(1 / 9 + 1 / 9) * np.delete(TEN, 3).std(ddof=1)
    )


def test_the_ratio_of_a_fold_left_out_does_not_count():
    found = corrected_t_test(
        np.array([0.1, np.nan, 0.3]), test_to_train=np.array([0.5, 9.0, 0.7]), undefined="omit"
    )
    assert found.standard_error == pytest.approx(
        math.sqrt(1 / 2 + 0.6) * np.std([0.1, 0.3], ddof=1)
    )


@pytest.mark.parametrize("values", [[], [0.1], [0.1, np.nan]])
def test_one_fold_has_no_spread(values):
    with pytest.raises(DataError, match="needs at least 2"):
        corrected_t_test(np.array(values, dtype=float), undefined="omit", test_to_train=0.1)


def test_a_ratio_must_be_positive():
    with pytest.raises(DataError, match=r"-0\.1 is not a positive number"):
        corrected_t_test(TEN, test_to_train=-0.1)


def test_no_difference_anywhere_is_no_difference():
    found = corrected_t_test(np.zeros(10))
    assert (found.t, found.p, found.low, found.high) == (0, 1, 0, 0)


def test_rounding_is_not_a_difference():
    scores = np.array([0.1, 0.2, 0.3, 0.7])
    found = corrected_t_test((scores + 0.2) - 0.2 - scores)
    assert (found.mean, found.p) == (0, 1)


def test_the_same_difference_in_every_fold_is_judged_by_its_sign_only():
    found = corrected_t_test(np.full(10, 0.02))
    assert found.p == stats.binomtest(10, 10).pvalue == 2**-9
    assert found.t == math.inf
    assert corrected_t_test(np.full(10, -0.02)).t == -math.inf
    assert corrected_t_test(np.full(2, 0.02)).p == 0.5


@pytest.mark.parametrize("degrees", [1, 2, 4, 9, 29, 99])
@pytest.mark.parametrize("power", [0.5, 0.8, 0.95])
def test_the_detectable_effect_has_the_asked_power(degrees, power):
    effect = detectable_effect(degrees, power=power)
    # Integrate P(|Z + effect| > critical * chi / sqrt(df)) over chi: no noncentral t involved.
    critical = stats.t.ppf(0.975, degrees)
    chi = np.sqrt(stats.chi2.ppf((np.arange(200_000) + 0.5) / 200_000, degrees) / degrees)
    beyond = stats.norm.sf(critical * chi - effect) + stats.norm.cdf(-critical * chi - effect)
    assert beyond.mean() == pytest.approx(power, abs=1e-4)


def test_the_detectable_difference_is_in_the_units_of_the_metric():
    found = corrected_t_test(TEN)
    assert found.detectable == pytest.approx(detectable_effect(9) * found.standard_error)
    assert found.detectable > found.smallest_significant


@settings(deadline=None, max_examples=40)
@given(differences)
def test_swapping_the_models_flips_the_sign(values):
    one, other = corrected_t_test(np.array(values)), corrected_t_test(-np.array(values))
    assert (one.mean, one.t, one.low) == pytest.approx((-other.mean, -other.t, -other.high))
    assert one.p == pytest.approx(other.p)


@settings(deadline=None, max_examples=40)
@given(differences, st.randoms(use_true_random=False))
def test_the_order_of_folds_changes_nothing(values, random):
    mixed = random.sample(values, len(values))
    one, other = corrected_t_test(np.array(values)), corrected_t_test(np.array(mixed))
    assert vars(one) == pytest.approx(vars(other), abs=1e-12)


@settings(deadline=None, max_examples=40)
@given(differences, st.floats(0.01, 100))
def test_the_unit_of_the_metric_does_not_matter(values, factor):
    one, other = corrected_t_test(np.array(values)), corrected_t_test(factor * np.array(values))
    assert (one.t, one.p) == pytest.approx((other.t, other.p))
    assert one.detectable * factor == pytest.approx(other.detectable)
