import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from sklearn import metrics as sk

from tests.evaluation.metrics.problems import binary, problems
from volbench.evaluation.metrics import decisions
from volbench.evaluation.metrics.decisions import confusion, predicted_class


def quiet(function, *arguments, **options):
    """The library's value, without its warning where it makes one up."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments, **options)


def test_probability_one_half_is_the_second_class():
    assert predicted_class(binary([0.4999, 0.5, 0.6])).tolist() == [0, 1, 1]


def test_a_threshold_decides_and_may_differ_between_items():
    assert predicted_class(binary([0.2, 0.3, 0.4]), 0.3).tolist() == [0, 1, 1]
    each = np.array([0.1, 0.5, 0.4])
    assert predicted_class(binary([0.2, 0.3, 0.4]), each).tolist() == [1, 0, 1]


def test_of_several_classes_the_most_probable_is_taken():
    assert predicted_class(np.array([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]])).tolist() == [1, 0]


def test_a_worked_example():
    # Five of class 0 (four right), five of class 1 (three right): TP 3, FN 2, FP 1, TN 4.
    labels = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    table = confusion(labels, np.array([0, 0, 0, 0, 1, 1, 1, 1, 0, 0]), 2)
    assert table.tolist() == [[4, 1], [2, 3]]
    assert decisions.accuracy(table) == 0.7
    assert decisions.recall(table, 0) == 0.8, "specificity"
    assert decisions.recall(table, 1) == 0.6, "sensitivity"
    assert decisions.balanced_accuracy(table) == pytest.approx(0.7)
    assert decisions.precision(table, 1) == 0.75
    assert decisions.precision(table, 0) == pytest.approx(4 / 6)
    assert decisions.f1(table) == pytest.approx(2 * 0.75 * 0.6 / (0.75 + 0.6))
    assert decisions.matthews(table) == pytest.approx((3 * 4 - 1 * 2) / math.sqrt(4 * 5 * 5 * 6))


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_counts_give_what_the_library_gives(classes):
    random = np.random.default_rng(classes)
    labels, predicted = random.integers(0, classes, (2, 60))
    table = confusion(labels, predicted, classes)
    average = "binary" if classes == 2 else "macro"
    expected = {
        decisions.accuracy: sk.accuracy_score(labels, predicted),
        decisions.balanced_accuracy: sk.balanced_accuracy_score(labels, predicted),
        decisions.f1: sk.f1_score(labels, predicted, average=average),
        decisions.matthews: sk.matthews_corrcoef(labels, predicted),
    }
    assert (table == sk.confusion_matrix(labels, predicted)).all()
    for metric, value in expected.items():
        assert metric(table) == pytest.approx(value, abs=1e-12), metric.__name__
    for index in range(classes):
        recall = sk.recall_score(labels, predicted, average=None)[index]
        precision = sk.precision_score(labels, predicted, average=None)[index]
        assert decisions.recall(table, index) == pytest.approx(recall)
        assert decisions.precision(table, index) == pytest.approx(precision)


@given(problems(least=1))
def test_wherever_it_is_defined_it_is_what_the_library_says(problem):
    labels, probabilities = problem
    predicted = predicted_class(probabilities)
    table = confusion(labels, predicted, 2)
    f1, matthews = decisions.f1(table), decisions.matthews(table)
    if 1 in labels or 1 in predicted:
        assert f1 == pytest.approx(quiet(sk.f1_score, labels, predicted))
    else:
        assert math.isnan(f1)
    if len(set(labels)) == 2:
        expected = quiet(sk.matthews_corrcoef, labels, predicted)
        assert matthews == pytest.approx(expected, abs=1e-12)
    else:
        assert math.isnan(matthews)


def test_what_is_missing_is_undefined_and_says_nothing():
    never = confusion(np.array([0, 0, 1]), np.array([0, 0, 0]), 2)
    assert math.isnan(decisions.precision(never, 1)), "never decided for"
    assert decisions.recall(never, 1) == 0
    assert decisions.f1(never) == 0
    assert decisions.matthews(never) == 0, "a constant tells nothing"
    alone = confusion(np.array([0, 0]), np.array([0, 1]), 2)
    assert math.isnan(decisions.recall(alone, 1)), "not there"
    assert math.isnan(decisions.balanced_accuracy(alone))
    assert decisions.f1(alone) == 0
    assert math.isnan(decisions.matthews(alone))
    neither = confusion(np.array([0]), np.array([0]), 2)
    assert math.isnan(decisions.f1(neither))
    nothing = confusion(np.array([], dtype=int), np.array([], dtype=int), 3)
    assert math.isnan(decisions.accuracy(nothing))
    assert math.isnan(decisions.f1(nothing))
    assert math.isnan(decisions.matthews(nothing))
