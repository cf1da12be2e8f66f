"""Folds of one experiment from several machines: only those that fit become one run."""

import shutil

import pytest

from tests.helpers.written_runs import write_run
from volbench.errors import StateError, UsageError
from volbench.runs.load import load_run
from volbench.runs.merge import merge_runs


@pytest.fixture
def halves(tmp_path):
    """A run whose first fold was trained here, the others elsewhere."""
    return [
        write_run(tmp_path / name / "run", finished=folds).path
        for name, folds in (("here", (0,)), ("there", (1, 2)))
    ]


def test_folds_are_put_together_as_they_are(halves, tmp_path):
    found = merge_runs(halves, tmp_path / "merged")
    assert found == {0: halves[0], 1: halves[1], 2: halves[1]}
    merged = load_run(tmp_path / "merged")
    for fold, source in found.items():
        assert merged.predictions[fold] == load_run(source).predictions[fold]
    with pytest.raises(UsageError, match="merged exists already"):
        merge_runs(halves, tmp_path / "merged")


@pytest.mark.parametrize("name", ["splits.csv", "cases.csv"])
def test_runs_with_other_splits_or_cases_are_refused(name, halves, tmp_path):
    path = halves[1] / name
    path.write_text(path.read_text().replace("p07", "p99"))
    with pytest.raises(StateError, match=rf"differ in {name}; only one is right"):
        merge_runs(halves, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_a_changed_fold_is_refused(halves, tmp_path):
    path = halves[1] / "folds" / "02" / "predictions.csv"
    path.write_text(path.read_text().replace(",T2,", ",T3,", 1))
    with pytest.raises(StateError, match=r"predictions\.csv"):
        merge_runs(halves, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_a_fold_that_two_runs_predict_differently_is_refused(halves, tmp_path):
    other = write_run(tmp_path / "other" / "run", finished=(1,), seed=7)
    shutil.rmtree(halves[0] / "folds" / "00")
    shutil.copytree(other.path / "folds" / "01", halves[0] / "folds" / "01")
    with pytest.raises(StateError, match=r"fold 1 has other predictions in .* merge only one"):
        merge_runs(halves, tmp_path / "merged")
