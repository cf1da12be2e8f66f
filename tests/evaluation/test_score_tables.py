import math

import pytest

from tests.evaluation.rows import CLASSES, SLICES, row
from volbench.evaluation import counts, fold_scores, gather, pooled_scores
from volbench.evaluation.metrics import metrics_for

# Each fold is in the right order; over both, 0.3 (positive) is below 0.6 (negative).
FOLDS = [
    row("a", "T2", 0.1),
    row("b", "T3", 0.3),
    row("c", "T2", 0.6, fold=1),
    row("d", "T3", 0.9, fold=1, patient="shared"),
    row("e", "T3", 0.8, fold=1, patient="shared"),
]


def test_items_are_counted_by_patient_and_class():
    found = counts(gather(FOLDS, CLASSES))
    assert found == {"n": 5, "patients": 4, "n_T2": 2, "n_T3": 3}
    assert counts(gather(SLICES, CLASSES))["patients"] == 4
    assert counts(gather(SLICES, CLASSES, unit="case"))["n"] == 4


def test_folds_are_scored_alone_and_pooled_all_pairs_count():
    items = gather(FOLDS, CLASSES)
    frame = fold_scores(items)
    assert frame.index.name == "fold"
    assert frame["auc"].to_dict() == {0: 1.0, 1: 1.0}
    assert frame["n"].to_dict() == {0: 2, 1: 3}
    assert pooled_scores(items)["auc"] == pytest.approx(5 / 6)


def test_every_number_has_a_column_in_the_order_of_the_metrics():
    frame = fold_scores(gather(FOLDS, CLASSES), at=0.8)
    names = list(metrics_for(CLASSES, at=0.8))
    assert list(frame) == ["n", "patients", "n_T2", "n_T3", *names]
    assert frame.loc[1, "accuracy"] == pytest.approx(2 / 3)


def test_a_fold_without_a_class_is_undefined_where_it_must_be():
    frame = fold_scores(gather([row("a", "T3", 0.9), row("b", "T3", 0.2)], CLASSES))
    assert math.isnan(frame.loc[0, "auc"])
    assert math.isnan(frame.loc[0, "recall_T2"])
    assert frame.loc[0, "recall_T3"] == 0.5


def test_folds_of_no_rows_are_an_empty_frame():
    assert fold_scores(gather([], ())).empty
