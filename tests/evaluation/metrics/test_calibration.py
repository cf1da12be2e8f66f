import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from tests.evaluation.metrics.problems import binary, problems, random_problem
from volbench.evaluation.metrics import (
    balanced_log_loss,
    brier,
    calibration_error,
    log_loss,
    reliability_bins,
)


@pytest.mark.parametrize("classes", [2, 3])
def test_brier_and_log_loss_are_the_libraries(classes):
    labels, probabilities = random_problem(classes)
    given_to_it = probabilities[:, 1] if classes == 2 else probabilities
    assert brier(labels, probabilities) == pytest.approx(sk.brier_score_loss(labels, given_to_it))
    assert log_loss(labels, probabilities) == pytest.approx(sk.log_loss(labels, probabilities))


def test_brier_of_three_classes_by_hand():
    # (0.5 - 1)^2 + 0.3^2 + 0.2^2
    found = brier(np.array([0]), np.array([[0.5, 0.3, 0.2]]))
    assert found == pytest.approx(0.25 + 0.09 + 0.04)


def test_calibration_error_by_hand():
    # Confidence 0.9 three times, right twice: gap |2/3 - 0.9|; 0.6 once, right: gap 0.4.
    labels = np.array([1, 1, 0, 0])
    expected = 0.75 * abs(2 / 3 - 0.9) + 0.25 * 0.4
    assert calibration_error(labels, binary([0.9, 0.9, 0.9, 0.4])) == pytest.approx(expected)


@given(problems(classes=3))
def test_calibration_error_is_its_formula(problem):
    labels, probabilities = problem
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    gap = 0.0
    for low in range(10):
        inside = [
            item
            for item in range(len(labels))
            if low / 10 <= confidence[item] < (low + 1) / 10 or (low == 9 and confidence[item] == 1)
        ]
        if inside:
            gap += abs(sum(right[inside]) - sum(confidence[inside])) / len(labels)
    assert calibration_error(labels, probabilities) == pytest.approx(gap, abs=1e-12)


def test_bins_of_equal_width_by_hand():
    labels = np.array([0, 1, 1, 1])
    low, high = reliability_bins(labels, binary([0.05, 0.07, 0.3, 0.35]), of=1)
    assert (low.low, low.high, low.items, low.observed) == (0.0, 0.1, 2, 0.5)
    assert low.probability == pytest.approx(0.06)
    assert (high.low, high.high, high.items, high.observed) == (0.3, 0.4, 2, 1.0)


def test_a_probability_at_a_bound_is_in_the_upper_bin_and_one_in_the_last():
    labels = np.array([0, 0, 0])
    bounds = [(b.low, b.high) for b in reliability_bins(labels, binary([0.3, 0.7, 1.0]), of=1)]
    assert bounds == [(0.3, 0.4), (0.7, 0.8), (0.9, 1.0)]


@pytest.mark.parametrize(("binning", "strategy"), [("width", "uniform"), ("count", "quantile")])
def test_bins_are_the_libraries_where_nothing_is_at_a_bound(binning, strategy):
    labels, probabilities = random_problem(2, items=200)
    observed, probability = calibration_curve(
        labels, probabilities[:, 1], n_bins=8, strategy=strategy
    )
    bins = reliability_bins(labels, probabilities, of=1, bins=8, binning=binning)
    assert [each.observed for each in bins] == pytest.approx(observed)
    assert [each.probability for each in bins] == pytest.approx(probability)
    assert sum(each.items for each in bins) == 200


@given(problems(), st.sampled_from(["width", "count"]))
def test_every_item_is_in_one_bin_and_within_its_bounds(problem, binning):
    labels, probabilities = problem
    bins = reliability_bins(labels, probabilities, of=1, binning=binning)
    assert sum(each.items for each in bins) == len(labels)
    assert sum(each.items * each.observed for each in bins) == pytest.approx(labels.sum())
    for each in bins:
        assert each.low - 1e-12 <= each.probability <= each.high + 1e-12


def test_balanced_log_loss_weighs_the_classes_alike():
    labels = np.array([0, 0, 0, 1])
    expected = (-np.log(0.9) - np.log(0.2)) / 2
    assert balanced_log_loss(labels, binary([0.1, 0.1, 0.1, 0.2])) == pytest.approx(expected)


@pytest.mark.parametrize("loss", [log_loss, balanced_log_loss])
def test_a_sure_mistake_costs_what_the_least_probability_costs(loss):
    expected = -math.log(2**-23)
    assert loss(np.array([0, 1]), binary([1.0, 0.0])) == pytest.approx(expected)


@pytest.mark.parametrize("metric", [brier, log_loss, balanced_log_loss, calibration_error])
def test_no_item_is_undefined(metric):
    assert math.isnan(metric(np.array([], dtype=int), binary([])))
    assert reliability_bins(np.array([], dtype=int), binary([])) == []
