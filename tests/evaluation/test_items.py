import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation.rows import CLASSES, SLICES, row, slices
from volbench.errors import DataError, UsageError
from volbench.evaluation import gather, pooled_scores, units_of
from volbench.evaluation.metrics import area_under_curve
from volbench.runs.predictions_file import Prediction


def auc(rows, unit=None):
    items = gather(rows, CLASSES, unit=unit)
    return area_under_curve(items.labels, items.probabilities)


def test_the_area_per_slice_and_per_patient_differ_as_by_hand():
    assert auc(SLICES, "slice") == pytest.approx(7 / 9)
    assert auc(SLICES, "case") == 1
    assert auc(SLICES, "patient") == 1


def test_what_a_row_is_is_the_unit_unless_said():
    assert gather(SLICES, CLASSES).unit == "slice"
    assert gather([row("A", "T2", 0.1)], CLASSES).unit == "case"


def test_slices_of_a_case_are_put_together_by_their_mean():
    items = gather(SLICES, CLASSES, unit="case")
    assert items.cases == (("A",), ("B",), ("C",), ("D",))
    assert items.probabilities[:, 1] == pytest.approx([0.55, 0.6, 0.3, 0.4])
    assert items.probabilities.sum(axis=1) == pytest.approx(np.ones(4))
    assert items.labels.tolist() == [1, 1, 0, 0]


def test_cases_of_a_patient_weigh_alike_however_many_slices_they_have():
    rows = [
        *slices("A", "T3", 0.9, 0.9, 0.9, patient="P"),
        *slices("B", "T3", 0.1, patient="P"),
        *slices("C", "T2", 0.2, patient="Q"),
    ]
    items = gather(rows, CLASSES, unit="patient")
    assert items.patients == ("P", "Q")
    assert items.cases == (("A", "B"), ("C",))
    assert items.probabilities[:, 1] == pytest.approx([0.5, 0.2])


def test_a_patient_with_cases_of_several_classes_has_no_class():
    rows = [row("A", "T3", 0.9, patient="P"), row("B", "T2", 0.1, patient="P")]
    with pytest.raises(UsageError) as caught:
        gather(rows, CLASSES, unit="patient")
    assert str(caught.value) == (
        "unit 'patient': cases of several classes belong to one patient, as to 'P' "
        "(1 such patient), who has no class then; use case"
    )
    assert gather(rows, CLASSES, unit="case").patients == ("P", "P")


def test_units_are_those_that_differ_and_are_defined():
    assert units_of(SLICES) == ("slice", "case")
    assert units_of([row("A", "T3", 0.9), row("B", "T2", 0.1)]) == ("case",)
    two = [row("A", "T3", 0.9, patient="P"), row("B", "T3", 0.1, patient="P")]
    assert units_of(two) == ("case", "patient")
    torn = [*two, row("C", "T2", 0.1, patient="P")]
    assert units_of(torn) == ("case",)
    assert units_of(
        [*slices("A", "T3", 0.9, patient="P"), *slices("B", "T3", 0.1, patient="P")]
    ) == (
        "slice",
        "patient",
    )


def test_slices_cannot_be_made_of_cases():
    with pytest.raises(UsageError, match="unit 'slice': these predictions are one per case; use"):
        gather([row("A", "T3", 0.9)], CLASSES, unit="slice")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row("A", "T4", 0.9)], "case 'A': label 'T4' is not among the classes T2, T3"),
        ([row("A", "T3", math.nan)], "case 'A': .* are not probabilities"),
        ([row("A", "T3", 1.5)], "case 'A': .* are not probabilities"),
        ([row("A", "T3", 0.5)] * 2, "case 'A' is predicted twice; score one run at a time"),
    ],
)
def test_rows_that_are_no_predictions_of_one_run_are_refused(rows, message):
    with pytest.raises(DataError, match=message):
        gather(rows, CLASSES)


@settings(max_examples=10)
@given(st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=4), min_size=1, max_size=8))
def test_the_order_of_the_rows_changes_no_number(cases):
    rows = [
        row
        for n, values in enumerate(cases)
        for row in slices(f"case{n}", CLASSES[n % 2], *(v / 4 for v in values), patient=f"P{n % 4}")
    ]
    for unit in ("slice", "case", "patient"):
        there, back = (
            pooled_scores(gather(order, CLASSES, unit=unit)) for order in (rows, rows[::-1])
        )
        assert there == pytest.approx(back, nan_ok=True, abs=1e-12)


def test_a_frame_has_a_row_per_item():
    items = gather(SLICES, CLASSES, unit="slice", threshold=0.45)
    frame = items.frame()
    assert list(frame) == [
        *("case", "slice", "patient", "fold", "label", "predicted", "threshold"),
        *("prob_T2", "prob_T3"),
    ]
    assert frame["predicted"].tolist() == ["T3", "T2", "T3", "T3", "T2", "T2"]
    assert frame["slice"].tolist() == [0, 1, 0, 0, 1, 0]
    assert "case" not in gather(SLICES, CLASSES, unit="patient").frame()


def test_items_can_be_drawn_again_and_again():
    items = gather(SLICES, CLASSES, unit="case")
    drawn = items.take(np.array([3, 3, 0]))
    assert drawn.cases == (("D",), ("D",), ("A",))
    assert drawn.labels.tolist() == [0, 0, 1]


def test_no_rows_make_no_items():
    found = pooled_scores(gather([], CLASSES))
    assert (found["n"], found["patients"], found["n_T3"]) == (0, 0, 0)
    assert math.isnan(found["auc"])


# Validation puts the threshold at 0.25. Of the held-out cases 0.3 and 0.6 are positive, 0.1 and
# 0.2 negative: one of four is wrong at 0.5, none at 0.25.
VALIDATION = {
    0: [
        row(name, label, p)
        for name, label, p in zip(
            "wxyz", ("T2", "T2", "T3", "T3"), (0.1, 0.2, 0.3, 0.4), strict=True
        )
    ]
}
HELD_OUT = [
    row(name, label, p)
    for name, label, p in zip("abcd", ("T2", "T2", "T3", "T3"), (0.1, 0.2, 0.3, 0.6), strict=True)
]


def test_a_threshold_chosen_on_validation_changes_the_decisions_as_by_hand():
    fixed = gather(HELD_OUT, CLASSES)
    chosen = gather(HELD_OUT, CLASSES, threshold="youden", validation=VALIDATION)
    assert chosen.thresholds == pytest.approx([0.25] * 4)
    assert pooled_scores(fixed)["accuracy"] == 0.75
    assert pooled_scores(chosen)["accuracy"] == 1
    assert pooled_scores(chosen)["auc"] == pooled_scores(fixed)["auc"]


@pytest.mark.parametrize("rule", ["youden", "specificity=0.9", "sensitivity=0.9"])
@pytest.mark.parametrize("unit", ["slice", "case", "patient"])
def test_no_threshold_sees_a_held_out_label(rule, unit):
    random = np.random.default_rng(5)
    held_out, validation = (
        [
            row(f"{part}{n}", CLASSES[n % 2], p, fold=n // 15, slice=0)
            for n, p in enumerate(random.random(30))
        ]
        for part in ("held out ", "validation ")
    )
    by_fold = {fold: [r for r in validation if r.fold == fold] for fold in (0, 1)}
    turned = [
        row(r.case, CLASSES[1 - CLASSES.index(r.label)], r.probabilities[1], fold=r.fold, slice=0)
        for r in held_out
    ]
    first, second = (
        gather(rows, CLASSES, unit=unit, threshold=rule, validation=by_fold)
        for rows in (held_out, turned)
    )
    assert (first.labels != second.labels).all()
    assert (first.thresholds == second.thresholds).all()
    assert len(set(first.thresholds)) == 2, "one for each fold"


def test_each_fold_keeps_its_own_threshold_when_folds_are_pooled():
    other = [row(f"{r.case}2", r.label, r.probabilities[1] / 2, fold=1) for r in HELD_OUT]
    halved = [row(r.case, r.label, r.probabilities[1] / 2, fold=1) for r in VALIDATION[0]]
    items = gather(
        HELD_OUT + other, CLASSES, threshold="youden", validation={**VALIDATION, 1: halved}
    )
    assert items.thresholds == pytest.approx([0.25] * 4 + [0.125] * 4)
    assert pooled_scores(items)["accuracy"] == 1


def test_thresholds_are_chosen_on_the_unit_that_is_scored():
    validation = {0: SLICES}
    rows = slices("E", "T3", 0.5)
    # Means 0.55 0.6 over 0.3 0.4; slices 0.9 0.6 0.2 over 0.5 0.4 0.1, best between 0.5 and 0.6.
    case, piece = (
        gather(rows, CLASSES, unit=unit, threshold="youden", validation=validation).thresholds
        for unit in ("case", "slice")
    )
    assert case == pytest.approx([0.475])
    assert piece == pytest.approx([0.55])


@pytest.mark.parametrize("validation", [None, {}, {1: VALIDATION[0]}])
def test_without_validation_predictions_no_threshold_is_chosen(validation):
    with pytest.raises(UsageError) as caught:
        gather(HELD_OUT, CLASSES, threshold="youden", validation=validation)
    assert str(caught.value) == (
        "threshold youden: fold 0 has no validation predictions to choose it on; use 0.5, or a "
        "recipe that keeps a validation part"
    )


def test_validation_predictions_of_one_class_choose_no_threshold():
    with pytest.raises(DataError) as caught:
        gather(HELD_OUT, CLASSES, threshold="youden", validation={0: VALIDATION[0][:2]})
    assert str(caught.value) == (
        "threshold youden: one of the two classes is missing among the validation predictions of "
        "fold 0; use 0.5"
    )


def test_three_classes_have_no_threshold():
    with pytest.raises(UsageError, match=r"threshold 0\.4 is for two classes, and there are 3"):
        gather([], ("a", "b", "c"), threshold=0.4)


def test_of_three_classes_the_most_probable_is_taken_without_a_threshold():
    three = Prediction("A", "P", "b", 0, None, (0.2, 0.3, 0.5))
    items = gather([three], ("a", "b", "c"))
    frame = items.frame()
    assert (frame["label"][0], frame["predicted"][0]) == ("b", "c")
    assert "threshold" not in frame
    assert pooled_scores(items)["brier"] == pytest.approx(0.2**2 + 0.7**2 + 0.5**2)
