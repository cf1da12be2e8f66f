import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.evaluation.metrics.problems import binary, problems
from volbench.errors import DataError, UsageError
from volbench.evaluation.metrics import ThresholdRule, predicted_class

RULES = ["youden", "specificity=0.9", "specificity=0.7", "sensitivity=0.9", "sensitivity=0.5"]


def rates(labels, probabilities, threshold):
    positive = predicted_class(probabilities, threshold) == 1
    return float(positive[labels == 1].mean()), float((~positive[labels == 0]).mean())


def choose(rule, labels, scores):
    return ThresholdRule.parse(rule).threshold(np.array(labels), binary(scores))


@pytest.mark.parametrize("text", ["0.5", "0", "1", "youden", "specificity=0.9", "sensitivity=0.95"])
def test_a_rule_is_written_as_it_is_read(text):
    assert str(ThresholdRule.parse(text)) == text


def test_a_number_is_a_fixed_threshold():
    assert ThresholdRule.parse(0.3) == ThresholdRule("fixed", 0.3)
    assert ThresholdRule.parse(0.3).threshold(np.array([0, 1]), binary([0.1, 0.2])) == 0.3
    assert not ThresholdRule.parse(0.3).chosen
    assert ThresholdRule.parse("youden").chosen


@pytest.mark.parametrize(
    "text", ["", "half", "1.5", "-0.1", "nan", "youden=1", "specificity", "specificity=", "auc=0.9"]
)
def test_anything_else_is_refused_in_a_line(text):
    with pytest.raises(UsageError) as caught:
        ThresholdRule.parse(text)
    assert str(caught.value) == (
        f"threshold {text!r} is not a number from 0 to 1, 'youden', 'specificity=0.9' or "
        "'sensitivity=0.9'"
    )


def test_the_middle_between_two_probabilities_is_taken():
    assert choose("youden", [0, 0, 1, 1], [0.1, 0.2, 0.4, 0.9]) == pytest.approx(0.3)


def test_of_equal_youden_indices_the_one_nearest_to_a_half_is_taken():
    # Positives 0.2 and 0.8, negatives 0.1 and 0.6: J = 1 + 1/2 - 1 at 0.15, 1/2 + 1 - 1 at 0.7.
    assert choose("youden", [1, 1, 0, 0], [0.2, 0.8, 0.1, 0.6]) == pytest.approx(0.7)


def test_a_wanted_specificity_is_kept_and_the_sensitivity_is_the_best_then():
    # Negatives .1 .2 .3 .7, positives .25 .6 .8 .9. Three of four negatives are below 0.45.
    labels = [0, 0, 0, 0, 1, 1, 1, 1]
    scores = [0.1, 0.2, 0.3, 0.7, 0.25, 0.6, 0.8, 0.9]
    assert choose("specificity=0.75", labels, scores) == pytest.approx(0.45)
    assert choose("specificity=0.9", labels, scores) == pytest.approx(0.75)
    assert choose("sensitivity=1", labels, scores) == pytest.approx(0.225)
    assert choose("sensitivity=0.5", labels, scores) == pytest.approx(0.75)


def test_a_specificity_that_no_item_allows_calls_nothing_positive():
    # The most probable item of all is negative, and so sure that nothing is above it.
    threshold = choose("specificity=1", [0, 1], [1.0, 0.5])
    assert rates(np.array([0, 1]), binary([1.0, 0.5]), threshold) == (0.0, 1.0)


def test_adjacent_floats_are_told_apart():
    low = 0.5
    high = math.nextafter(low, 1)
    threshold = choose("youden", [0, 1], [low, high])
    assert rates(np.array([0, 1]), binary([low, high]), threshold) == (1.0, 1.0)


@given(problems(least=2), st.sampled_from(RULES))
def test_a_chosen_threshold_is_the_best_of_all_that_could_be_tried(problem, text):
    labels, probabilities = problem
    assume(len(set(labels)) == 2)
    rule = ThresholdRule.parse(text)
    sensitivity, specificity = rates(labels, probabilities, rule.threshold(labels, probabilities))
    tried = [rates(labels, probabilities, cut) for cut in [0.0, *probabilities[:, 1], 2.0]]
    if rule.kind == "youden":
        assert sensitivity + specificity == pytest.approx(max(map(sum, tried)))
    elif rule.kind == "specificity":
        assert specificity >= rule.value
        assert sensitivity == max(found for found, spared in tried if spared >= rule.value)
    else:
        assert sensitivity >= rule.value
        assert specificity == max(spared for found, spared in tried if found >= rule.value)


@given(problems(least=2), st.sampled_from(RULES))
def test_a_threshold_is_a_probability_or_just_above(problem, text):
    labels, probabilities = problem
    assume(len(set(labels)) == 2)
    threshold = ThresholdRule.parse(text).threshold(labels, probabilities)
    assert 0 <= threshold <= math.nextafter(1, 2)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_alone_chooses_nothing(label):
    with pytest.raises(DataError, match="threshold youden: one of the two classes is missing"):
        choose("youden", [label, label], [0.2, 0.8])
