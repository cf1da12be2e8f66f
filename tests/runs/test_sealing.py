"""What vouches for the files of a run: without a digest nothing is believed."""

import pytest

from volbench.errors import StateError
from volbench.runs.sealing import require_signed, seal, signed, verified

RESULT = {"status": "finished", "fold": 0, "sha256": {"predictions.csv": "0" * 64}}


def test_a_file_that_no_digest_vouches_for_is_refused(tmp_path):
    for name in ("splits.csv", "cases.csv"):
        (tmp_path / name).write_bytes(name.encode())
    seal(tmp_path, {"splits.csv": b"splits.csv"})
    assert verified(tmp_path, "splits.csv") == b"splits.csv"
    with pytest.raises(StateError, match=r"cases\.csv was changed after the run wrote it, or lost"):
        verified(tmp_path, "cases.csv")


def test_a_result_that_vouches_for_no_file_is_refused_though_its_own_digest_is_right(tmp_path):
    path = tmp_path / "result.json"
    assert require_signed(path, signed(RESULT), sealed=True) == RESULT
    for sealed in (True, False):
        with pytest.raises(StateError, match=r"result\.json was changed"):
            require_signed(path, signed({**RESULT, "sha256": {}}), sealed=sealed)


def test_a_failure_lets_no_number_through_and_needs_no_digest(tmp_path):
    failure = {"status": "failed", "fold": 0, "error": "out of memory"}
    assert require_signed(tmp_path / "failed.json", failure, sealed=True) == failure


def test_an_older_run_may_lack_the_digest_of_a_result_and_a_sealed_one_may_not(tmp_path):
    path = tmp_path / "result.json"
    assert require_signed(path, RESULT, sealed=False) == RESULT
    with pytest.raises(StateError, match=r"result\.json was changed"):
        require_signed(path, RESULT, sealed=True)
