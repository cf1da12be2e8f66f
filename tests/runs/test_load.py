"""Runs that are read back: folds must fit the split and one another."""

from dataclasses import replace

import pytest

from tests.helpers.written_runs import write_rival, write_run
from volbench.errors import StateError
from volbench.runs.folder import RunFolder
from volbench.runs.load import load_run, named_otherwise


def write_again(run, fold, rows, classes):
    """Give a fold other predictions, with the digests that belong to them."""
    RunFolder(run.path).fold(fold).write_success(
        replace(run.results[fold], sha256={}),
        rows,
        classes,
        [{"epoch": 1, "train_loss": 0.5}],
        b"weights",
    )


def test_a_prediction_of_a_case_that_its_fold_trained_on_is_refused(tmp_path):
    run = write_run(tmp_path / "run")
    stranger = replace(run.predictions[1][0], fold=0)
    write_again(run, 0, [*run.predictions[0], stranger], run.classes)
    with pytest.raises(
        StateError,
        match=rf"fold 0 predicts case '{stranger.case}', which splits\.csv does not hold out there",
    ):
        load_run(run.path)


def test_folds_of_other_classes_are_refused(tmp_path):
    run = write_run(tmp_path / "run")
    rows = [replace(row, label=row.label.replace("T3", "T4")) for row in run.predictions[1]]
    write_again(run, 1, rows, ("T2", "T4"))
    with pytest.raises(StateError, match=r"01/predictions\.csv: its classes differ from other fol"):
        load_run(run.path)


def test_only_runs_on_the_same_patients_and_folds_name_their_cases_otherwise(tmp_path):
    ours, theirs, others = (
        load_run(write_rival(tmp_path, f"{split}{suffix}", split=split, suffix=suffix))
        for split, suffix in (("e", ""), ("e", "x"), ("f", "x"))
    )
    assert named_otherwise([ours, theirs])
    assert not named_otherwise([ours, others])
    assert not named_otherwise([ours, ours])
