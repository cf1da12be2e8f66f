"""However an attempt at a fold ends, its lease is given back at once, and says how it ended."""

import pytest

from tests.helpers.written_runs import write_run
from volbench.crossval.fold_attempt import FoldAttempt, begin
from volbench.errors import StateError
from volbench.executors.lease import current_attempt
from volbench.runs.attempts import attempts_folder
from volbench.runs.folder import FoldResult


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
