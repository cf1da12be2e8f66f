import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from tests.evaluation.metrics.problems import binary, problems, random_problem
from volbench.evaluation.metrics import METRICS, metrics_for, score

PAGE = (Path(__file__).parents[3] / "docs/reference/metrics.md").read_text(encoding="utf-8")
TWO, THREE = ("T2", "T3"), ("a", "b", "c")


def within(metric, value):
    least, greatest = metric.range
    return math.isnan(value) or least - 1e-12 <= value <= greatest + 1e-12


@settings(max_examples=30)
@given(problems())
def test_every_metric_of_two_classes_stays_in_its_range(problem):
    assert all(within(metric, metric(*problem)) for metric in metrics_for(TWO).values())


@settings(max_examples=30)
@given(problems(classes=3))
def test_every_metric_of_three_classes_stays_in_its_range(problem):
    assert all(within(metric, metric(*problem)) for metric in metrics_for(THREE).values())


@pytest.mark.parametrize("classes", [TWO, THREE])
@settings(max_examples=10)
@given(seed=st.integers(0, 2**16))
def test_no_metric_knows_the_order_of_the_items(classes, seed):
    labels, probabilities = random_problem(len(classes), items=20, seed=seed)
    order = np.random.default_rng(seed).permutation(20)
    for metric in metrics_for(classes).values():
        there, here = metric(labels, probabilities), metric(labels[order], probabilities[order])
        assert there == pytest.approx(here, abs=1e-12, nan_ok=True), metric.name


@pytest.mark.parametrize("classes", [TWO, THREE])
def test_sure_and_right_is_the_best_of_every_metric(classes):
    labels = np.arange(12) % len(classes)
    probabilities = np.eye(len(classes))[labels]
    for metric in metrics_for(classes).values():
        best = metric.range[1] if metric.higher_is_better else metric.range[0]
        assert metric(labels, probabilities) == pytest.approx(best), metric.name


@pytest.mark.parametrize("classes", [TWO, THREE])
def test_without_items_every_metric_is_undefined(classes):
    nothing = np.zeros((0, len(classes)))
    found = score(np.zeros(0, dtype=int), nothing, classes)
    assert all(math.isnan(value) for value in found.values())


def test_of_one_item_only_what_needs_no_other_is_defined():
    found = score(np.array([1]), binary([0.8]), TWO)
    defined = {name: value for name, value in found.items() if not math.isnan(value)}
    assert defined == pytest.approx(
        {
            "accuracy": 1,
            "recall_T3": 1,
            "precision_T3": 1,
            "f1": 1,
            "brier": 0.04,
            "ece": 0.2,
            "log_loss": -math.log(0.8),
        }
    )


def test_the_threshold_changes_what_says_so_and_nothing_else():
    labels, probabilities = random_problem(2)
    changed = {
        metric.name
        for metric in metrics_for(TWO).values()
        if metric(labels, probabilities) != metric(labels, probabilities, 0.2)
    }
    assert changed == {
        metric.name for metric in metrics_for(TWO).values() if metric.needs_threshold
    }


def test_score_names_recall_and_precision_after_the_classes():
    labels, probabilities = random_problem(2)
    found = score(labels, probabilities, TWO, threshold=0.3)
    predicted = probabilities[:, 1] >= 0.3
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(labels, predicted))
    assert found["recall_T3"] == pytest.approx(sk.recall_score(labels, predicted))
    assert found["recall_T2"] == pytest.approx(sk.recall_score(labels, predicted, pos_label=0))
    assert found["precision_T3"] == pytest.approx(sk.precision_score(labels, predicted))
    assert found["precision_T2"] == pytest.approx(
        sk.precision_score(labels, predicted, pos_label=0)
    )
    assert found["f1"] == pytest.approx(sk.f1_score(labels, predicted))
    assert list(found)[:4] == ["auc", "accuracy", "recall_T2", "recall_T3"]


def test_score_of_three_classes_has_no_metric_of_two():
    labels, probabilities = random_problem(3)
    found = score(labels, probabilities, THREE)
    predicted = probabilities.argmax(axis=1)
    assert found["f1"] == pytest.approx(sk.f1_score(labels, predicted, average="macro"))
    assert found["recall_c"] == pytest.approx(sk.recall_score(labels, predicted, average=None)[2])
    assert not any("_at_" in name for name in found)


def test_the_fixed_rate_is_an_option_and_stands_in_the_name():
    labels, scores = np.array([0, 0, 0, 0, 1, 1]), binary([0.1, 0.2, 0.3, 0.8, 0.5, 0.9])
    at_three_quarters = score(labels, scores, TWO, at=0.75)
    assert at_three_quarters["sensitivity_at_specificity_0.75"] == 1
    assert at_three_quarters["specificity_at_sensitivity_0.75"] == 0.75
    assert score(labels, scores, TWO)["sensitivity_at_specificity_0.9"] == 0.5


def test_the_table_has_every_metric_that_needs_no_name():
    assert set(METRICS) < set(metrics_for(TWO))
    others = {metric for metric in metrics_for(TWO) if metric not in METRICS}
    assert all("_T" in name or "_at_" in name for name in others)


def rows_of_the_page():
    for line in PAGE.splitlines():
        if line.startswith("| `"):
            key, *cells = (cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])
            yield key.strip("`"), cells


def test_the_manual_explains_every_metric_as_the_table_of_metrics_does():
    explained = dict(rows_of_the_page())
    for name, metric in metrics_for(("<class>", "other")).items():
        if name.endswith("_other"):
            continue
        formula, _, source = explained.pop(name)
        assert formula == metric.formula, name
        assert re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", source) == metric.source, name
    assert set(explained) == {"n", "patients", "n_<class>"}
