"""An audit as CSV and back, its figures, and the copy that runs on one data set share."""

import math
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tests.audit.cohort import cohort
from volbench.audit import (
    Audit,
    AuditRow,
    audit,
    audit_cached,
    read_audit,
    score_audit,
    shortcut_models,
    store,
    summarize,
)
from volbench.audit.chance import chance_area, permutation_variance
from volbench.audit.columns import is_identifier, text_column
from volbench.audit.summary import AuditScore
from volbench.errors import StateError
from volbench.evaluation.metrics import area_under_curve
from volbench.experiment.split_designs import make_split
from volbench.runs.predictions_file import Prediction


@pytest.fixture(scope="module", autouse=True)
def _few_trees():
    """Nothing here asks how good a forest is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shortcut_models, "TREES", 3)
        yield


def plant(number, label, random):
    return {"strata": {"=site, one": "ab"[int(random.integers(2))], "name": f"p{number}"}}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return cohort(tmp_path_factory.mktemp("cohort"), cases=30, plant=plant)


@pytest.fixture(scope="module")
def split(prepared):
    return make_split(prepared.cases, 2, 0)


@pytest.fixture(scope="module")
def found(prepared, split):
    return audit(prepared, split)


def test_an_audit_reads_back_equal_to_the_digit(found):
    assert Audit.from_csv(found.to_csv()) == found
    first = found.to_csv().splitlines()[0]
    assert first == "features,model,note,case,patient,label,fold,prob_T2,prob_T3"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "does not begin"),
        ("case,fold\n", "does not begin"),
        ("features,model,note,case,patient,label,fold,T2\n", "does not begin"),
        ("features,model,note,case,patient,label,fold,prob_a\nx,y,,c\n", "line 2 has 4 cells"),
        ("features,model,note,case,patient,label,fold,prob_a\nx,y,,c,p,a,0,high\n", "'high'"),
    ],
)
def test_what_is_no_audit_is_refused(text, complaint, tmp_path):
    with pytest.raises(ValueError, match=complaint):
        Audit.from_csv(text)
    path = tmp_path / "audit.csv"
    path.write_text(text)
    with pytest.raises(StateError, match=f"audit.csv is damaged .*{complaint}"):
        read_audit(path)


def test_an_audit_that_is_not_there_is_said_to_be_missing(tmp_path):
    with pytest.raises(StateError, match=r"audit\.csv cannot be read: No such file"):
        read_audit(tmp_path / "audit.csv")


def test_figures_are_those_of_the_predictions(found):
    rows = {(row.features, row.model): row for row in found.rows}
    for score in score_audit(found):
        predictions = rows[score.features, score.model].predictions
        areas = [
            roc_auc_score(
                [one.label == "T3" for one in predictions if one.fold == fold],
                [one.probabilities[1] for one in predictions if one.fold == fold],
            )
            for fold in (0, 1)
        ]
        assert score.auc == pytest.approx(np.mean(areas))
        assert score.auc_std == pytest.approx(np.std(areas, ddof=1))
        assert (score.n, score.folds) == (30, 2)
        assert score.low <= score.auc <= score.high
    areas = [score.auc for score in score_audit(found)]
    assert areas == sorted(areas, reverse=True)


def test_what_chance_can_reach_is_the_formula_of_mann_and_whitney_twice(found):
    """Feature sets: geometry, intensity, two strata, both, everything; two models each.

    Folds of 7 and 8, 8 and 7 cases. Predictions without ties have the variance of the formula, and
    both folds are tested by what the other one teaches.
    """
    assert len(found.rows) == 12
    z = 2.393980  # upper 0.05 / 6 of the standard normal distribution, from a table
    each = (15 + 1) / (12 * 7 * 8)
    assert chance_area(found) == pytest.approx(0.5 + z * math.sqrt(2 * 2 * each / 4), abs=1e-5)


@pytest.mark.parametrize("labels", ["aabbb", "aabbcc", "aabbbcc"])
def test_the_variance_is_that_of_all_orders_of_the_labels(labels):
    truth = np.array(["abc".index(label) for label in labels])
    classes = len(set(labels))
    drawn = np.random.default_rng(1).dirichlet(np.ones(classes), len(truth)).round(1)
    areas = [
        area_under_curve(np.array(order), drawn) for order in set(permutations(truth.tolist()))
    ]
    assert np.mean(areas) == pytest.approx(0.5)
    assert permutation_variance(truth, drawn) == pytest.approx(np.var(areas))


def test_five_classes_have_the_bar_of_the_mean_over_them_not_of_one_against_the_rest():
    """Ten folds of 5 x 2 cases: a cohort without a signal reaches about 0.62 in its best row."""
    draw = np.random.default_rng(0)
    rows = []
    for name in "abcdefg":
        predictions = tuple(
            Prediction(
                case=f"c{fold}-{number}",
                patient=f"p{fold}-{number}",
                label="abcde"[number % 5],
                fold=fold,
                slice=None,
                probabilities=tuple(draw.dirichlet(np.ones(5)).tolist()),
            )
            for fold in range(10)
            for number in range(10)
        )
        rows += [AuditRow(name, model, "", predictions) for model in ("logistic", "forest")]
    assert chance_area(Audit(tuple("abcde"), tuple(rows))) == pytest.approx(0.625, abs=0.01)


def test_several_cases_of_a_patient_raise_the_bar_and_a_single_fold_is_not_doubled():
    def bar(patients, folds):
        count = 40
        predictions = tuple(
            Prediction(
                case=f"c{n}",
                patient=f"p{n % patients}",
                label="ab"[n % 2],
                fold=n // 2 % folds,
                slice=None,
                probabilities=(1 - n / count, n / count),
            )
            for n in range(count)
        )
        return chance_area(Audit(("a", "b"), (AuditRow("geometry", "forest", "", predictions),)))

    assert bar(20, 1) - 0.5 == pytest.approx((bar(40, 1) - 0.5) * math.sqrt(2))
    z = 1.644854
    assert bar(40, 1) == pytest.approx(0.5 + z * math.sqrt(41 / (12 * 20 * 20)), abs=1e-5)


def rows_of(labels, folds, probabilities):
    predictions = tuple(
        Prediction(
            case=f"c{n}",
            patient=f"p{n}",
            label=label,
            fold=fold,
            slice=None,
            probabilities=(1 - value, value),
        )
        for n, (label, fold, value) in enumerate(zip(labels, folds, probabilities, strict=True))
    )
    return Audit(("a", "b"), (AuditRow("geometry", "forest", "", predictions),))


def test_a_fold_without_a_class_is_left_out_of_the_mean_and_counted():
    found = rows_of("abaaab", [0, 0, 0, 1, 1, 2], [0.1, 0.9, 0.2, 0.5, 0.5, 0.5])
    (score,) = score_audit(found)
    assert (score.auc, score.folds, score.n) == (1.0, 1, 6)
    assert math.isnan(score.auc_std)


def test_without_any_fold_that_holds_both_classes_nothing_is_claimed():
    (score,) = score_audit(rows_of("aabb", [0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]))
    assert math.isnan(score.auc)
    assert score.finding == "undefined"
    assert summarize([score]) == ["No fold holds out cases of every class, so no area is defined."]


def score(features, auc, note=""):
    return AuditScore(features, "forest", note, "", 90, 10, auc, 0.1, 0.4, 0.9, chance=0.6)


def test_the_verdict_names_what_a_model_must_beat_first():
    assert summarize(
        [
            score("everything", 0.93, "without grade"),
            score("stratum diameter", 0.916),
            score("strata", 0.91),
            score("geometry", 0.85),
            score("stratum diameter", 0.80),
            score("intensity", 0.55),
            score("stratum grade", 0.995),
        ]
    ) == [
        "stratum grade: AUC 0.995: this column is nearly the label. "
        "Was it part of how the label was made?",
        "The column diameter alone reaches 0.92: a model must beat that before its AUC says "
        "anything.",
        "Geometry alone reaches 0.85.",
        "Everything together reaches 0.93 (without grade).",
    ]


def test_together_is_silent_where_it_adds_nothing_and_long_lists_are_cut():
    many = [score(f"stratum s{n}", 0.9 - n / 100) for n in range(9)]
    lines = summarize([*many, score("everything", 0.7)])
    assert len(lines) == 7
    assert lines[-1] == "3 more do better than chance."


def test_together_is_said_where_no_single_set_tells_anything():
    assert summarize([score("strata", 0.7), score("geometry", 0.5)]) == [
        "All strata together reach 0.70: a model must beat that before its AUC says anything."
    ]


def test_an_audit_is_computed_once_per_data_folds_and_seed(
    prepared, split, found, tmp_path, monkeypatch
):
    calls = []

    def counted(*arguments, **options):
        calls.append(options["seed"])
        return audit(*arguments, **options)

    monkeypatch.setattr(store, "audit", counted)
    assert audit_cached(prepared, split, cache=tmp_path) == found
    assert audit_cached(prepared, split, cache=tmp_path) == found
    assert calls == [0]
    audit_cached(prepared, split, cache=tmp_path, seed=1)
    audit_cached(prepared, make_split(prepared.cases, 3, 0), cache=tmp_path)
    cases = tuple(replace(case, strata={"site": "a"}) for case in prepared.cases)
    other = replace(prepared, cases=cases)
    audit_cached(other, make_split(cases, 2, 0), cache=tmp_path)
    assert calls == [0, 1, 0, 0]
    assert len(list((tmp_path / "audits").iterdir())) == 4


def test_a_damaged_copy_is_made_again(prepared, split, found, tmp_path):
    audit_cached(prepared, split, cache=tmp_path)
    (path,) = (tmp_path / "audits").iterdir()
    whole = path.read_text()
    path.write_text(whole[:-20])
    assert audit_cached(prepared, split, cache=tmp_path) == found
    assert path.read_text() == whole


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["1", " 2.5 ", "", "NA", "n/a", "-3e2"], [1, 2.5, math.nan, math.nan, math.nan, -300]),
        (["2021-03-04", "2021-03-05T10:00", "nan"], [737853, 737854, math.nan]),
        ([*"123456789", "<1"], [*range(1, 10), math.nan]),
        (["1", "inf", *"23456789"], [1, math.nan, *range(2, 10)]),
    ],
    ids=["gaps", "days since year 1", "one odd word in ten", "infinity"],
)
def test_a_column_of_numbers_keeps_them_and_its_odd_cells_are_gaps(cells, numbers):
    np.testing.assert_array_equal(text_column("x", cells).numbers, numbers)


@pytest.mark.parametrize(
    "cells", [["a", "b", "Unknown", "1"], ["", "NA"], ["1", "2", "3T"]], ids=str
)
def test_any_other_column_is_one_of_levels(cells):
    levels = text_column("x", cells).levels
    assert levels == tuple("" if cell in ("", "NA", "Unknown") else cell for cell in cells)


@pytest.mark.parametrize(
    ("cells", "patients", "names"),
    [
        (["x", "y", "z", "z"], "abcc", True),
        (["11", "12", "13"], "abc", True),
        (["1.5", "2.5", "3.25"], "abc", False),
        (["x", "x", "y", "z"], "abcd", False),
        (["x", "y", "", ""], "abcd", False),
        (["x", "y"], "ab", False),
    ],
    ids=["words", "numbers", "measured", "shared", "gaps", "two patients"],
)
def test_an_identifier_has_a_value_for_each_patient(cells, patients, names):
    assert is_identifier(cells, list(patients)) is names


def test_a_few_known_cells_name_nobody_and_geometry_is_never_called_the_label():
    from dataclasses import replace

    from volbench.audit.columns import is_identifier
    from volbench.audit.summary import AuditScore

    patients = [f"p{n}" for n in range(40)]
    assert not is_identifier(["a", "b", "c", "d", *[""] * 36], patients)
    score = AuditScore("geometry", "logistic", "", "", 40, 5, 1.0, 0.0, 0.99, 1.0, 0.7)
    assert score.finding == "beat this"
    assert replace(score, features="stratum vote").finding == "nearly the label"
