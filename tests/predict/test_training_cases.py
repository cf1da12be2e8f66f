"""What a run was trained on, fold by fold: the range of its cases, and who was seen."""

from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.volumes_on_disk import case
from tests.helpers.written_runs import write_run
from volbench.data.preparation.case import CaseGeometry
from volbench.predict.seen_in_training import seen_in_training
from volbench.predict.training_range import slices_problem, spacing_problem, training_range
from volbench.runs.splits_file import read_splits


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Three folds; the cases that fold 0 holds out are thicker and have fewer slices."""
    run = write_run(tmp_path_factory.mktemp("run") / "run")
    rows = [
        replace(
            row,
            spacing_mm=((9.0 if 0 in row.folds else 3.0), 0.5, 0.5),
            shape=((4 if 0 in row.folds else 10), 12, 12),
        )
        for row in run.case_rows
    ]
    return replace(run, case_rows=rows)


def test_the_range_is_that_of_the_cases_that_a_network_was_trained_on(run):
    first, both = training_range(run, (0,)), training_range(run, (0, 1))
    assert (first.low_mm[0], first.high_mm[0], first.fewest) == (3.0, 3.0, 10)
    assert (both.low_mm[0], both.high_mm[0], both.fewest) == (3.0, 9.0, 4)


def test_half_the_slices_and_a_tenth_of_the_spacing_are_enough(run):
    trained = training_range(run, (0,))

    def stored(slices, slice_mm):
        return CaseGeometry(
            slices, (1.0, 1.0, 1.0), (), (slices, 12, 12), (slice_mm, 0.5, 0.5), None
        )

    assert slices_problem(stored(5, 3.0), trained) is None
    assert slices_problem(stored(4, 3.0), trained).startswith("4 slices, the run was trained on 10")
    assert spacing_problem(stored(5, 3.29), trained) is None
    assert "distance between slices 3.31 mm" in spacing_problem(stored(5, 3.31), trained)


def test_a_fold_has_seen_the_cases_that_it_does_not_hold_out(run):
    split = read_splits(run.path / "splits.csv")
    row = next(row for row in split if row.folds == (1,))
    known = seen_in_training(replace(case(), name=row.case), split, run, (0, 1, 2))
    assert (known.folds, known.total, known.by_patient) == ((0, 2), 3, False)
    held_out = [each.probabilities for each in run.predictions[1] if each.case == row.case]
    assert known.held_out == pytest.approx(np.mean(held_out, axis=0))
    assert seen_in_training(replace(case(), name=row.case), split, run, (1,)) is None
    other_scan = replace(case(), name="new", patient=row.patient)
    assert seen_in_training(other_scan, split, run, (0, 1, 2)).by_patient
    assert seen_in_training(replace(case(), name="new"), split, run, (0, 1, 2)) is None
