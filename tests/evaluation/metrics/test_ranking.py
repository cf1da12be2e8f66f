import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata
from sklearn import metrics as sk

from tests.evaluation.metrics.problems import binary, problems, random_problem
from volbench.evaluation.metrics import (
    area_under_curve,
    average_precision,
    roc_curve,
    sensitivity_at_specificity,
    specificity_at_sensitivity,
)
from volbench.evaluation.metrics.ranking import midranks

LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1])
SCORES = binary([0.1, 0.2, 0.3, 0.7, 0.25, 0.6, 0.8, 0.9])


def area_by_pairs(labels, scores):
    """The definition: over all pairs of a positive and a negative item."""
    pairs = list(itertools.product(scores[labels == 1], scores[labels == 0]))
    return sum(1.0 if p > n else 0.5 if p == n else 0.0 for p, n in pairs) / len(pairs)


def best_of_all_cuts(labels, scores, at, *, fixed, wanted):
    """The definition: try a cut below every item, and one above all of them."""
    best = 0.0
    for cut in [*scores, np.inf]:
        positive = scores >= cut
        rate = {
            "sensitivity": np.mean(positive[labels == 1]),
            "specificity": np.mean(~positive[labels == 0]),
        }
        if rate[fixed] >= at:
            best = max(best, rate[wanted])
    return best


def test_area_counts_the_pairs_in_the_right_order_and_ties_by_half():
    labels = np.array([0, 0, 1, 1])
    assert area_under_curve(labels, binary([0.1, 0.4, 0.4, 0.8])) == (1 + 1 + 0.5 + 1) / 4


@given(problems())
def test_area_is_that_of_all_pairs(problem):
    labels, probabilities = problem
    found = area_under_curve(labels, probabilities)
    if len(set(labels)) < 2:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(area_by_pairs(labels, probabilities[:, 1]), abs=1e-12)


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_area_is_the_libraries(classes):
    labels, probabilities = random_problem(classes)
    given_to_it = probabilities[:, 1] if classes == 2 else probabilities
    expected = sk.roc_auc_score(labels, given_to_it, multi_class="ovr", average="macro")
    assert area_under_curve(labels, probabilities) == pytest.approx(expected, abs=1e-12)


@given(problems(least=2))
def test_turning_classes_and_probabilities_round_leaves_the_area(problem):
    labels, probabilities = problem
    turned = area_under_curve(1 - labels, probabilities[:, ::-1].copy())
    assert turned == pytest.approx(area_under_curve(labels, probabilities), nan_ok=True)


@given(problems(least=2))
def test_only_the_order_matters_to_the_area(problem):
    labels, probabilities = problem
    squeezed = binary(probabilities[:, 1] ** 3 / 2)
    expected = area_under_curve(labels, binary(probabilities[:, 1]))
    assert area_under_curve(labels, squeezed) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("metric", [area_under_curve, average_precision])
@pytest.mark.parametrize("classes", [2, 3])
def test_a_missing_class_leaves_an_order_undefined(metric, classes):
    probabilities = np.full((3, classes), 1 / classes)
    assert math.isnan(metric(np.array([1, 1, 0 if classes == 3 else 1]), probabilities))
    assert math.isnan(metric(np.array([], dtype=int), probabilities[:0]))


def test_average_precision_by_hand():
    # Positives at ranks 1 and 4 of five: precision 1/1 and 2/4, each for half of the recall.
    labels = np.array([1, 0, 0, 1, 0])
    found = average_precision(labels, binary([0.9, 0.8, 0.7, 0.6, 0.1]))
    assert found == pytest.approx((1 + 2 / 4) / 2)  # of the other class it is .533


def test_average_precision_of_three_classes_is_the_mean_of_one_against_the_rest():
    labels, probabilities = random_problem(3)
    expected = sk.average_precision_score(np.eye(3)[labels], probabilities, average="macro")
    assert average_precision(labels, probabilities) == pytest.approx(expected)


def test_a_roc_curve_has_every_achieved_point():
    labels = np.array([0, 1, 0, 1])
    curve = roc_curve(labels, binary([0.2, 0.4, 0.4, 0.8]))
    assert curve.false_positive_rate.tolist() == [0, 0, 0.5, 1]
    assert curve.true_positive_rate.tolist() == [0, 0.5, 1, 1]
    assert curve.thresholds.tolist() == [np.inf, 0.8, 0.4, 0.2]


@given(problems(least=2))
def test_the_curve_and_its_precision_are_the_libraries_to_the_last_bit(problem):
    labels, probabilities = problem
    if len(set(labels)) < 2:
        return
    curve = roc_curve(labels, probabilities)
    expected = sk.roc_curve(labels, probabilities[:, 1], drop_intermediate=False)
    found = (curve.false_positive_rate, curve.true_positive_rate, curve.thresholds)
    assert [each.tolist() for each in found] == [each.tolist() for each in expected]
    precision = sk.average_precision_score(labels, probabilities[:, 1])
    assert average_precision(labels, probabilities) == precision


def test_a_roc_curve_of_one_class_against_two():
    labels = np.array([0, 1, 2])
    probabilities = np.array([[0.5, 0.1, 0.4], [0.2, 0.6, 0.2], [0.1, 0.2, 0.7]])
    curve = roc_curve(labels, probabilities, positive=2)
    assert curve.true_positive_rate.tolist() == [0, 1, 1, 1]
    assert curve.false_positive_rate.tolist() == [0, 0, 0.5, 1]


def test_a_roc_curve_of_one_class_has_no_points():
    curve = roc_curve(np.array([1, 1]), binary([0.2, 0.8]))
    assert not curve.thresholds.size


def test_sensitivity_at_a_specificity_by_hand():
    # Of the negatives 0.1 0.2 0.3 0.7: all below 0.8 (finds 2 of 4), three of them below 0.6
    # (finds 3 of 4), two below 0.25 (finds all).
    assert sensitivity_at_specificity(LABELS, SCORES, 1.0) == 0.5
    assert sensitivity_at_specificity(LABELS, SCORES, 0.9) == 0.5  # not between 0.5 and 0.75
    assert sensitivity_at_specificity(LABELS, SCORES, 0.75) == 0.75
    assert sensitivity_at_specificity(LABELS, SCORES, 0.5) == 1
    assert specificity_at_sensitivity(LABELS, SCORES, 1.0) == 0.5
    assert specificity_at_sensitivity(LABELS, SCORES, 0.9) == 0.5
    assert specificity_at_sensitivity(LABELS, SCORES, 0.5) == 1


@given(problems(least=2), st.sampled_from([0.0, 0.5, 0.7, 0.9, 1.0]))
def test_fixed_points_are_the_best_of_all_cuts(problem, at):
    labels, probabilities = problem
    sensitivity = sensitivity_at_specificity(labels, probabilities, at)
    specificity = specificity_at_sensitivity(labels, probabilities, at)
    if len(set(labels)) < 2:
        assert math.isnan(sensitivity)
        assert math.isnan(specificity)
        return
    scores = probabilities[:, 1]
    assert sensitivity == pytest.approx(
        best_of_all_cuts(labels, scores, at, fixed="specificity", wanted="sensitivity")
    )
    assert specificity == pytest.approx(
        best_of_all_cuts(labels, scores, at, fixed="sensitivity", wanted="specificity")
    )


def test_a_specificity_that_is_reached_exactly_counts_whatever_floats_make_of_it():
    # Seven of ten negatives below the only positive: 1 - 3 / 10 is less than 0.7 in floats.
    assert 1 - 3 / 10 <= 0.7
    for items in (10, 20, 30, 70):
        above = round(items * 0.3)
        scores = [0.9] * above + [0.1] * (items - above) + [0.5]
        labels = np.array([0] * items + [1])
        assert sensitivity_at_specificity(labels, binary(scores), 0.7) == 1


def test_one_of_ten_spared_is_a_specificity_of_a_tenth():
    """1 - 0.9 is less than 0.1 in floating point."""
    labels = np.array([0] * 10 + [1] * 2)
    second = np.array([0.9] * 9 + [0.1] + [0.5] * 2)
    probabilities = np.stack([1 - second, second], axis=1)
    assert sensitivity_at_specificity(labels, probabilities, 0.1) == 1.0


@given(st.lists(st.sampled_from([-np.inf, 0.0, 0.1, 0.25, 1.0, np.inf, np.nan]), min_size=1))
def test_midranks_are_those_of_scipy(scores):
    scores = np.array(scores)
    np.testing.assert_array_equal(midranks(scores), rankdata(scores))


def test_the_area_of_scores_that_are_no_numbers_is_none():
    assert math.isnan(area_under_curve(LABELS, np.full((8, 2), np.nan)))
