import math

import numpy as np
import pytest
from sklearn import metrics as sk

from volbench.metrics import (
    area_under_curve,
    balanced_log_loss,
    brier,
    calibration_error,
    predicted_class,
    recall,
    score,
)


def binary(positive):
    positive = np.asarray(positive, dtype=float)
    return np.stack([1 - positive, positive], axis=1)


def random_problem(classes, items=200, seed=0):
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, items)
    logits = random.normal(size=(items, classes)) + np.eye(classes)[labels]
    probabilities = np.exp(logits)
    return labels, probabilities / probabilities.sum(axis=1, keepdims=True)


def test_area_counts_the_pairs_in_the_right_order_and_ties_by_half():
    labels = np.array([0, 0, 1, 1])
    assert area_under_curve(labels, binary([0.1, 0.4, 0.4, 0.8])) == (1 + 1 + 0.5 + 1) / 4


def test_area_over_several_classes_is_the_mean_of_one_against_the_rest():
    labels, probabilities = random_problem(4)
    expected = sk.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    assert area_under_curve(labels, probabilities) == pytest.approx(expected)


def test_area_is_undefined_without_both_classes():
    assert math.isnan(area_under_curve(np.array([1, 1]), binary([0.2, 0.9])))


def test_probability_one_half_is_the_second_class():
    assert predicted_class(binary([0.4999, 0.5, 0.6])).tolist() == [0, 1, 1]


def test_recalls_are_sensitivity_and_specificity():
    labels, predicted = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 0, 1, 1, 0])
    assert recall(labels, predicted, 0) == 0.75
    assert recall(labels, predicted, 1) == 0.5
    assert math.isnan(recall(labels, predicted, 2))


def test_brier_of_two_classes_is_the_libraries():
    labels, probabilities = random_problem(2)
    assert brier(labels, probabilities) == pytest.approx(
        sk.brier_score_loss(labels, probabilities[:, 1])
    )


def test_calibration_error_by_hand():
    # Confidence 0.9 three times, right twice: gap |2/3 - 0.9|; 0.6 once, right: gap 0.4.
    labels = np.array([1, 1, 0, 0])
    expected = 0.75 * abs(2 / 3 - 0.9) + 0.25 * 0.4
    assert calibration_error(labels, binary([0.9, 0.9, 0.9, 0.4])) == pytest.approx(expected)


def test_balanced_log_loss_weighs_the_classes_alike():
    labels = np.array([0, 0, 0, 1])
    expected = (-np.log(0.9) - np.log(0.2)) / 2
    assert balanced_log_loss(labels, binary([0.1, 0.1, 0.1, 0.2])) == pytest.approx(expected)


def test_balanced_log_loss_of_a_sure_mistake_is_finite():
    assert math.isfinite(balanced_log_loss(np.array([0, 1]), binary([1.0, 0.0])))


def test_score_names_the_recalls_after_the_classes():
    labels, probabilities = random_problem(2)
    found = score(labels, probabilities, ("T2", "T3"))
    predicted = probabilities[:, 1] >= 0.5
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(labels, predicted))
    assert found["recall_T3"] == pytest.approx(sk.recall_score(labels, predicted))
    assert found["recall_T2"] == pytest.approx(sk.recall_score(labels, predicted, pos_label=0))
    assert found["f1"] == pytest.approx(sk.f1_score(labels, predicted))


def test_score_of_three_classes():
    labels, probabilities = random_problem(3)
    found = score(labels, probabilities, ("a", "b", "c"))
    predicted = probabilities.argmax(axis=1)
    assert found["f1"] == pytest.approx(sk.f1_score(labels, predicted, average="macro"))
    assert found["recall_c"] == pytest.approx(sk.recall_score(labels, predicted, average=None)[2])
