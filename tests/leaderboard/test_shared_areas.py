"""Areas of all rows at once: each pair has what it would have alone, and only if it is a pair."""

from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.rows import CLASSES, row
from tests.helpers.written_runs import write_run
from volbench.evaluation import gather
from volbench.evaluation.statistics import delong
from volbench.leaderboard import compare_runs
from volbench.leaderboard.statistics import shared_areas
from volbench.leaderboard.statistics.shared_areas import SharedAreas

FOLDS = 3


def items_of(seed, *, folds=FOLDS, patients=30, skipped_class_in=None):
    random = np.random.default_rng(seed)
    rows = [
        row(
            f"case{number:02d}{part}",
            CLASSES[number // folds % 2 if number % folds != skipped_class_in else 0],
            round(float(random.uniform()), 1),
            patient=f"p{number:02d}",
            fold=number % folds,
        )
        for number in range(patients)
        for part in "ab"
    ]
    return gather(rows, CLASSES, unit="case")


def alone(first, second):
    return delong(
        first.labels,
        np.stack([first.probabilities, second.probabilities]),
        clusters=np.array(first.patients),
        folds=first.folds,
        undefined="omit",
    )


@pytest.mark.parametrize("skipped", [None, 1])
def test_a_pair_has_the_areas_that_it_has_alone(skipped):
    items = {place: items_of(place, skipped_class_in=skipped) for place in (0, 2, 3, 7)}
    shared = SharedAreas(items)
    for first, second in ((0, 2), (3, 7), (7, 0)):
        expected = alone(items[first], items[second])
        found = shared.pair(first, second)
        for name, value in vars(expected).items():
            np.testing.assert_allclose(getattr(found, name), value, rtol=1e-12, atol=1e-15)


def test_rows_on_other_folds_or_patients_are_no_pair_and_keep_their_own():
    items = {0: items_of(0), 1: items_of(1), 2: items_of(2, folds=5), 3: items_of(3, folds=5)}
    shared = SharedAreas(items)
    assert shared.pair(0, 2) is None
    assert shared.pair(0, 9) is None
    for first, second in ((0, 1), (2, 3)):
        found = shared.pair(first, second)
        assert found.by_fold.tolist() == alone(items[first], items[second]).by_fold.tolist()


@pytest.mark.parametrize(
    "changed",
    [{"patient": lambda row: f"q{row.patient}"}, {"fold": lambda row: (row.fold + 1) % FOLDS}],
    ids=["patients", "folds"],
)
def test_rows_that_differ_in_one_thing_only_are_no_pair(changed):
    one, two = items_of(0), items_of(1)
    rows = tuple(
        tuple(replace(row, **{key: value(row) for key, value in changed.items()}) for row in item)
        for item in two.rows
    )
    assert SharedAreas({0: one, 1: two}).pair(0, 1) is not None
    assert SharedAreas({0: one, 1: replace(two, rows=rows)}).pair(0, 1) is None


def test_rows_without_two_patients_of_each_class_in_a_fold_have_no_areas():
    rows = [
        row(f"c{fold}{label}", CLASSES[label], 0.5, fold=fold)
        for fold in range(2)
        for label in (0, 1)
    ]
    items = gather(rows, CLASSES, unit="case")
    assert SharedAreas({0: items, 1: items}).pair(0, 1) is None


def test_a_table_computes_placements_once_however_many_pairs_it_has(tmp_path, monkeypatch):
    models = []

    def counted(labels, scores, **options):
        models.append(len(scores))
        return delong(labels, scores, **options)

    monkeypatch.setattr(shared_areas, "delong", counted)
    losses = ("focal", "cross_entropy", "triplet", "corn")
    runs = [write_run(tmp_path / name, loss=name, seed=n) for n, name in enumerate(losses)]
    found = compare_runs(runs, resamples=20)
    assert [pair.test for pair in found.pairs] == ["combined"] * 6
    assert models == [4]
