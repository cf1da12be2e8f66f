"""Nothing of a held-out fold reaches what is fitted for it, and the folds are used as given."""

from dataclasses import replace

import numpy as np
import pytest

from tests.audit.cohort import SIZE, cohort
from volbench.audit import audit, shortcut_models
from volbench.audit.columns import number_column, text_column
from volbench.audit.shortcut_models import encode
from volbench.experiment.split_designs import make_split, official_split
from volbench.experiment.splits import Split


@pytest.fixture(scope="module", autouse=True)
def _few_trees():
    """Nothing here asks how good a forest is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shortcut_models, "TREES", 3)
        yield


def plant(number, label, random):
    """Every kind of column: words and numbers with gaps and signal, masks here and there."""
    return {
        "stored_shape": (3, int(random.integers(20, 40)) + 4 * label, 30),
        "roi_mm3": float(np.exp(random.normal(label))) if number % 5 else None,
        "strata": {
            "site": ("abc"[int(random.integers(3))], "")[number % 7 == 0],
            "age": ("", f"{random.normal(60 + 6 * label, 8):.1f}")[number % 6 > 0],
        },
    }


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return cohort(tmp_path_factory.mktemp("cohort"), cases=40, plant=plant)


@pytest.fixture(scope="module")
def split(prepared):
    return make_split(prepared.cases, 2, 0)


@pytest.fixture(scope="module")
def found(prepared, split):
    return audit(prepared, split)


def changed(prepared, split, change):
    """The same data and folds with other cases: ``change(case)`` where fold 0 is held out."""
    cases = tuple(
        change(case) if fold == "0" else case
        for case, fold in zip(split.cases, split.assigned, strict=True)
    )
    return replace(prepared, cases=cases), Split(cases, split.assigned)


def predicted(audit, fold):
    return {
        (row.features, row.model, one.case): one.probabilities
        for row in audit.rows
        for one in row.predictions
        if one.fold == fold
    }


def test_the_labels_of_the_held_out_fold_do_not_change_its_predictions(prepared, split, found):
    other = audit(*changed(prepared, split, lambda case: replace(case, label=1 - case.label)))
    assert predicted(other, 0) == predicted(found, 0)
    assert predicted(other, 1) != predicted(found, 1), "there they are trained on"


def test_labels_that_a_column_reveals_do_not_reach_what_is_left_out_either(tmp_path):
    """The column is the label, then, in the held-out fold only, its opposite."""
    data = cohort(tmp_path, cases=40, plant=lambda n, label, r: {"strata": {"a": str(label)}})
    folds = make_split(data.cases, 2, 0)
    same = audit(data, folds)
    other = audit(*changed(data, folds, lambda case: replace(case, label=1 - case.label)))
    assert predicted(other, 0) == predicted(same, 0)


def test_the_features_of_a_held_out_case_change_its_own_predictions_only(prepared, split, found):
    (first, *_) = (c for c, fold in zip(split.cases, split.assigned, strict=True) if fold == "0")

    def odd(case):
        if case is not first:
            return case
        strata = {"site": "never seen", "age": "1e6"}
        return replace(case, strata=strata, stored_shape=(99, 999, 1), roi_mm3=1e9)

    before = predicted(found, 0)
    after = predicted(audit(*changed(prepared, split, odd)), 0)
    assert {key[2] for key in before if before[key] != after[key]} == {first.name}


def test_the_voxels_of_a_held_out_case_change_its_own_predictions_only(prepared, split, found):
    at = split.assigned.index("0")
    voxels = np.array(prepared.voxels)
    voxels[prepared.offsets[at] : prepared.offsets[at + 1]] += 3
    before, after = (
        predicted(found, 0),
        predicted(audit(replace(prepared, voxels=voxels), split), 0),
    )
    assert {key[2] for key in before if before[key] != after[key]} == {prepared.cases[at].name}


def test_scales_medians_and_levels_are_those_of_the_training_cases():
    columns = [
        number_column("age", [1.0, 3.0, None, 8.0, 100.0, None]),
        text_column("site", [*"aaaaab"]),
    ]
    train, test = encode(columns, [0, 1, 2, 3], [4, 5])
    # Filled with the median of 1, 3 and 8; then mean (1 + 3 + 3 + 8) / 4, variance 26.75 / 4.
    mean, std = 3.75, (26.75 / 4) ** 0.5
    np.testing.assert_allclose(train[:, 0], (np.array([1, 3, 3, 8]) - mean) / std)
    np.testing.assert_allclose(test[:, 0], (np.array([100, 3]) - mean) / std)
    # Where the gaps were: one of four training cases, mean 1/4, standard deviation sqrt(3/16).
    np.testing.assert_allclose(train[:, 1], (np.array([0, 0, 1, 0]) - 0.25) / (3 / 16) ** 0.5)
    np.testing.assert_allclose(test[:, 1], (np.array([0, 1]) - 0.25) / (3 / 16) ** 0.5)


def test_a_level_never_seen_in_training_joins_the_rare_ones():
    words = [*"aaaaaabbbbbbcd", "new", "d", "b"]
    train, test = encode([text_column("site", words)], range(14), range(14, 17))
    assert train.shape == (14, 3), "a, b, and the rare ones"
    np.testing.assert_array_equal(test[0], test[1])
    np.testing.assert_array_equal(test[1], train[12])
    np.testing.assert_array_equal(test[2], train[6])
    assert not np.array_equal(test[0], test[2])


def test_a_level_never_seen_in_training_is_none_where_none_is_rare():
    train, test = encode([text_column("site", [*"aaaaabbbbb", "new"])], range(10), [10])
    assert train.shape == (10, 2)
    np.testing.assert_array_equal(test, [[0, 0]])


def test_columns_of_gaps_and_of_one_value_are_no_trouble():
    columns = [
        number_column("none", [None] * 6),
        number_column("one", [3.0] * 6),
        text_column("empty", [""] * 6),
        number_column("first seen later", [None, None, None, 1.0, 2.0, None]),
    ]
    train, test = encode(columns, [0, 1, 2], [3, 4, 5])
    assert np.isfinite(train).all()
    assert np.isfinite(test).all()
    assert (train == train[0]).all()


def test_every_case_is_predicted_once_per_row_in_the_fold_that_holds_it_out(prepared, split, found):
    given = {
        (case.name, case.patient, ("T2", "T3")[case.label], int(fold))
        for case, fold in zip(split.cases, split.assigned, strict=True)
    }
    for row in found.rows:
        assert {(one.case, one.patient, one.label, one.fold) for one in row.predictions} == given
        assert len(row.predictions) == len(given)
        assert all(sum(one.probabilities) == pytest.approx(1) for one in row.predictions)


def test_several_cases_of_a_patient_stay_in_the_fold_that_they_were_given(tmp_path):
    data = cohort(tmp_path, cases=24, plant=lambda n, label, r: {"patient": f"p{n // 3}"})
    folds = make_split(data.cases, 2, 0)
    where = {}
    for one in audit(data, folds).rows[0].predictions:
        assert where.setdefault(one.patient, one.fold) == one.fold
    assert len(where) == 8


def test_an_official_split_trains_on_validation_cases_and_holds_out_the_test_cases(tmp_path):
    """The first class is in the validation part only, so without it nothing could be learned."""

    def plant(number, label, random):
        fold = "test" if number < 10 else "train" if label else "val"
        return {"fold": fold, "strata": {"site": "ab"[label]}}

    data = cohort(tmp_path, cases=40, plant=plant)
    found = audit(data, official_split(data.cases))
    (row,) = (r for r in found.rows if (r.features, r.model) == ("stratum site", "logistic"))
    assert [one.case for one in row.predictions] == [case.name for case in data.cases[:10]]
    assert all((one.probabilities[1] > 0.5) == (one.label == "T3") for one in row.predictions)


def test_where_the_training_part_has_one_class_it_is_all_that_is_predicted(tmp_path):
    def plant(number, label, random):
        return {"fold": "test" if number < 10 or not label else "train"}

    data = cohort(tmp_path, cases=40, plant=plant)
    for row in audit(data, official_split(data.cases)).rows:
        assert {one.probabilities for one in row.predictions} == {(0.0, 1.0)}


def test_the_same_seed_gives_the_same_audit_and_another_one_other_forests(prepared, split, found):
    assert audit(prepared, split) == found
    other = audit(prepared, split, seed=1)
    for row, again in zip(found.rows, other.rows, strict=True):
        assert (row == again) == (row.model == "logistic"), row.features


def test_progress_counts_cases_and_then_feature_sets_over_all_folds(prepared, split):
    cases, fits = [], []
    audit(
        prepared,
        split,
        on_case=lambda done, total: cases.append((done, total)),
        on_fit=lambda done, total: fits.append((done, total)),
    )
    assert cases == [(n, 40) for n in range(1, 41)]
    assert fits == [(n, 14) for n in range(1, 15)]


def test_intensities_are_those_of_the_voxels(tmp_path):
    from scipy import stats

    from volbench.audit.intensity import NAMES, intensity_columns

    data = cohort(tmp_path, cases=4)
    columns = {column.name: column.numbers for column in intensity_columns(data)}
    voxels = data.volume(2).astype(np.float64).ravel()
    assert len(voxels) == data.cases[2].slices * SIZE * SIZE
    assert tuple(columns) == NAMES
    assert columns["mean"][2] == pytest.approx(voxels.mean())
    assert columns["std"][2] == pytest.approx(voxels.std())
    assert columns["skewness"][2] == pytest.approx(stats.skew(voxels))
    assert columns["p05"][2] == pytest.approx(stats.scoreatpercentile(voxels, 5))
    assert columns["p99"][2] == pytest.approx(stats.scoreatpercentile(voxels, 99))


def test_the_skewness_of_constant_voxels_is_zero(tmp_path):
    from volbench.audit.intensity import describe_voxels

    found = describe_voxels(np.full(8, 2, np.float16))
    assert found.tolist() == [2, 0, 0] + [2] * 9
