"""Clinical measures against statsmodels, brute force and their own promises."""

import math

import numpy as np
import pytest
import statsmodels.api as sm
from sklearn.metrics import precision_score

from volbench.errors import DataError, UsageError
from volbench.evaluation.clinical import (
    calibration_line,
    conformal_sets,
    coverage_by_class,
    expected_cost,
    largest_gap,
    net_benefit,
    predictive_values,
    recalibrated,
    risk_coverage,
    subgroups,
)


def drawn(seed, n=200, slope=1.0, shift=0.0):
    """Labels that come true with probabilities of which the returned ones are a distortion."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=n) * 1.5
    labels = (random.random(n) < 1 / (1 + np.exp(-logits))).astype(int)
    return labels, 1 / (1 + np.exp(-(slope * logits + shift)))


@pytest.mark.parametrize("seed", range(3))
def test_intercept_and_slope_are_those_of_statsmodels(seed):
    labels, p = drawn(seed, slope=2.0, shift=0.5)
    x = np.log(p / (1 - p))
    binomial = sm.families.Binomial()
    large = sm.GLM(labels, np.ones((len(x), 1)), family=binomial, offset=x).fit()
    line = sm.GLM(labels, sm.add_constant(x), family=binomial).fit()
    found = calibration_line(labels, p)
    assert found.intercept == pytest.approx(large.params[0])
    assert (found.offset, found.slope) == pytest.approx(tuple(line.params))


def test_recalibration_undoes_a_distortion():
    learned, p = drawn(1, n=20000, slope=2.5, shift=-1.0)
    line = calibration_line(learned, p)
    labels, q = drawn(2, n=20000, slope=2.5, shift=-1.0)
    better = calibration_line(labels, recalibrated(q, line))
    assert (better.intercept, better.slope) == pytest.approx((0, 1), abs=0.06)
    assert abs(calibration_line(labels, q).slope - 0.4) < 0.05


def test_separated_classes_have_no_finite_slope_and_are_left_as_they_are():
    labels, p = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9])
    line = calibration_line(labels, p)
    assert math.isnan(line.slope)
    assert recalibrated(p, line) is p
    with pytest.raises(DataError, match="one of the two classes is missing"):
        calibration_line(labels[:2], p[:2])


def test_net_benefit_is_counted_by_hand():
    labels, p = drawn(0, n=50)
    thresholds = np.array([0.1, 0.35, 0.8])
    (found,) = net_benefit(labels, p, thresholds)
    for value, t in zip(found, thresholds, strict=True):
        true = sum(1 for y, q in zip(labels, p, strict=True) if q >= t and y)
        false = sum(1 for y, q in zip(labels, p, strict=True) if q >= t and not y)
        assert value == pytest.approx(true / 50 - false / 50 * t / (1 - t))
    at = net_benefit(np.array([1, 0]), np.array([0.5, 0.4]), np.array([0.5]))
    assert at.item() == 0.5  # who is at the threshold is treated
    often = np.random.default_rng(1).integers(0, 3, 50)
    (weighted,) = net_benefit(labels, p, thresholds, weights=1.0 * often[None])
    (repeated,) = net_benefit(np.repeat(labels, often), np.repeat(p, often), thresholds)
    assert weighted == pytest.approx(repeated)
    with pytest.raises(UsageError, match="is not between 0 and 1"):
        net_benefit(labels, p, np.array([1.0]))


def test_predictive_values_at_the_datas_own_prevalence_are_the_precisions():
    labels, p = drawn(0)
    called = p >= 0.4
    sensitivity, specificity = called[labels == 1].mean(), (~called)[labels == 0].mean()
    ppv, npv = predictive_values(sensitivity, specificity, labels.mean())
    assert ppv == pytest.approx(precision_score(labels, called))
    assert npv == pytest.approx(precision_score(1 - labels, ~called))
    missed, alarms = (~called & (labels == 1)).mean(), (called & (labels == 0)).mean()
    assert expected_cost(
        sensitivity, specificity, labels.mean(), missed=5, alarm=2
    ) == pytest.approx(5 * missed + 2 * alarms)
    assert math.isnan(predictive_values(0.0, 1.0, 0.3)[0])
    with pytest.raises(UsageError, match="prevalence 0 is not"):
        predictive_values(0.9, 0.9, 0)


def test_the_risk_coverage_curve_is_counted_by_hand():
    random = np.random.default_rng(0)
    wrong, confidence = random.random(40) < 0.3, random.random(40)
    curve = risk_coverage(wrong, confidence)
    for decided in range(1, 41):
        surest = np.argsort(-confidence)[:decided]
        assert curve.risk[decided - 1] == pytest.approx(wrong[surest].mean())
    assert curve.area == pytest.approx(curve.risk.mean())
    assert curve.best_area <= curve.area
    assert risk_coverage(wrong, -wrong.astype(float)).area == pytest.approx(curve.best_area)
    same = risk_coverage(wrong, np.ones(40))
    assert same.risk == pytest.approx(np.full(40, wrong.mean()))


def test_conformal_sets_cover_each_class_as_promised_whatever_the_probabilities_are():
    random = np.random.default_rng(0)
    covered = []
    for _ in range(300):
        labels = random.integers(0, 3, 200)
        scores = random.dirichlet((1, 1, 1), 200) + 0.4 * np.eye(3)[labels] * [1, 0.2, 2]
        sets = conformal_sets(labels[:100], scores[:100], scores[100:], alpha=0.2)
        covered.append(coverage_by_class(labels[100:], sets))
    mean = np.mean(covered, axis=0)
    assert (mean > 0.79).all(), mean
    assert (mean < 0.85).all(), mean


@pytest.mark.parametrize(("cases", "alpha", "rank"), [(9, 0.2, 2), (19, 0.1, 2), (99, 0.29, 29)])
def test_the_class_is_in_the_set_from_the_kth_smallest_probability_on(cases, alpha, rank):
    """k = floor(alpha (n + 1)), which is whole here but not always in floating point."""
    known = np.arange(1, cases + 1) / (cases + 1)
    own = np.stack([1 - known, known], axis=1)
    calibration = np.concatenate([own, own[:, ::-1]])
    labels = np.repeat([1, 0], cases)
    new = np.array([known[rank - 1], known[rank - 1] - 1e-9])
    sets = conformal_sets(labels, calibration, np.stack([1 - new, new], axis=1), alpha=alpha)
    assert sets[:, 1].tolist() == [True, False]


def test_few_calibration_cases_promise_nothing_and_none_is_refused():
    p = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert conformal_sets(np.array([0, 1]), p, p, alpha=0.1).all()
    with pytest.raises(DataError, match="a class has no case to calibrate on"):
        conformal_sets(np.array([0, 0]), p, p)


def test_the_largest_gap_is_found_where_there_is_one_and_rarely_where_there_is_none():
    p_values = []
    for seed in range(40):
        random = np.random.default_rng(seed)
        labels, groups = np.tile([0, 1], 60), np.repeat(list("abc"), 40)
        score = labels + random.normal(size=120)
        p_values.append(largest_gap(labels, score, groups, permutations=99, seed=seed).p)
    assert np.mean(np.array(p_values) <= 0.1) < 0.25
    score = np.where(groups == "b", -1, 1) * labels * 3.0 + random.normal(size=120)
    gap = largest_gap(labels, score, groups, permutations=99)
    assert gap.worst == "b"
    assert gap.p == pytest.approx(0.01)
    assert gap.gap == pytest.approx(gap.areas[gap.best] - gap.areas["b"])


def test_groups_that_are_too_small_are_no_groups():
    with pytest.raises(DataError, match="fewer than two have 5 patients of each class"):
        largest_gap(np.tile([0, 1], 10), np.zeros(20), np.repeat(["a", "b"], [16, 4]))


def test_more_slices_of_the_same_patients_change_no_gap():
    random = np.random.default_rng(0)
    labels, groups, patients = np.tile([0, 1], 30), np.repeat(list("abc"), 20), np.arange(60)
    score = labels + random.normal(size=60)
    known = largest_gap(labels, score, groups, permutations=99)
    again = [np.repeat(each, 3) for each in (labels, score, groups)]
    found = largest_gap(*again, clusters=np.repeat(patients, 3), permutations=99)
    assert (found.p, found.gap) == pytest.approx((known.p, known.gap))
    few = np.repeat(["a", "b"], [52, 8])  # four patients of each class, of three slices each
    with pytest.raises(DataError, match="fewer than two have 5 patients"):
        largest_gap(again[0], again[1], np.repeat(few, 3), clusters=np.repeat(patients, 3))


def test_patients_are_dealt_to_groups_within_their_class():
    """A group of more cancers is no group of a better AUC: chance alone keeps its share."""
    labels = np.repeat([0, 1, 0, 1], [30, 6, 6, 30])
    groups = np.repeat(["a", "b"], 36)
    dealt = []

    def watch(labels, scores, groups, counted):
        dealt.append(np.bincount(labels[groups == "a"], minlength=2).tolist())
        return {"a": 0.5, "b": 0.6}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subgroups, "_areas", watch)
        largest_gap(labels, np.zeros(72), groups, permutations=20)
    assert dealt == [[30, 6]] * 21
