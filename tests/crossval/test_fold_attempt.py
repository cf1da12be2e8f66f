"""However an attempt at a fold ends, its lease is given back at once, and says how it ended."""

import os

import pytest

from tests.helpers.written_runs import write_run
from volbench.crossval.fold_attempt import FoldAttempt, begin
from volbench.errors import StateError
from volbench.executors.lease import LeaseLostError, acquire, current_attempt
from volbench.runs.attempts import attempts_folder
from volbench.runs.folder import FoldResult
from volbench.training.fold_reports import EpochReport


def test_the_lease_of_a_finished_or_damaged_or_interrupted_fold_is_given_back(tmp_path):
    path = write_run(tmp_path / "run", finished=range(1)).path

    def outcome(fold):
        return current_attempt(attempts_folder(path, fold)).outcome

    assert isinstance(begin(path, 0, device="cpu", wait=False), FoldResult)
    assert outcome(0) == "redundant"
    predictions = path / "folds" / "00" / "predictions.csv"
    predictions.write_bytes(predictions.read_bytes() + b"\n")
    with pytest.raises(StateError, match="was changed"):
        begin(path, 0, device="cpu", wait=False)
    assert outcome(0) == "refused"
    attempt = begin(path, 1, device="cpu", wait=False)
    assert isinstance(attempt, FoldAttempt)
    with pytest.raises(KeyboardInterrupt), attempt.working():
        raise KeyboardInterrupt
    assert outcome(1) == "interrupted"
    assert isinstance(begin(path, 1, device="cpu", wait=False), FoldAttempt)


def test_a_process_that_has_lost_its_fold_stops_at_the_end_of_the_epoch(tmp_path):
    path = write_run(tmp_path / "run", finished=range(1)).path
    attempt = begin(path, 1, device="cpu", wait=False)
    epochs = [EpochReport(1, epoch, 2, loss=0.1, auc=None) for epoch in (1, 2)]
    attempt.on_epoch(epochs[0])
    folder = attempts_folder(path, 1)
    for file in (folder / "0001").rglob("*"):
        os.utime(file, (0, 0))  # silent for decades
    os.utime(folder / "0001", (0, 0))
    acquire(folder)
    with pytest.raises(LeaseLostError, match="another process took over"):
        attempt.on_epoch(epochs[1])
