"""What can be seen of folds from outside, and runs that are merged."""

import json
import shutil

import pytest
from click.testing import CliRunner

from tests.helpers.written_runs import write_run
from volbench.cli.main import main
from volbench.cli.status import _most_telling
from volbench.executors.lease import acquire
from volbench.executors.status import FoldStatus, StatusReader, fold_states
from volbench.runs.attempts import attempts_folder
from volbench.runs.load import load_run


def volbench(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def test_each_state_of_a_fold_is_told_apart(tmp_path):
    write_run(tmp_path / "a", finished=[0], failed=[1])
    assert [state.state for state in fold_states(tmp_path / "a")] == ["done", "failed", "waiting"]
    lease = acquire(attempts_folder(tmp_path / "a", 2), details={"device": "cuda:1"})
    progress = {"epoch": 5, "epochs": 20, "epoch_seconds": 30.0}
    (lease.path / "progress.json").write_text(json.dumps(progress))
    running = list(fold_states(tmp_path / "a"))[2]
    assert (running.state, running.device, running.epoch) == ("running", "cuda:1", 5)
    assert running.minutes_left == 7.5
    told = json.loads((lease.path / "lease.json").read_text())
    told["process"]["started"] -= 1
    (lease.path / "lease.json").write_text(json.dumps(told))
    stale = list(fold_states(tmp_path / "a"))[2]
    assert (stale.state, stale.reason) == ("stale", "its process ended")


def test_how_far_a_fold_came_is_told_where_its_attempt_said_so(tmp_path):
    write_run(tmp_path / "a", finished=[0, 1], failed=[2])
    for fold, text in enumerate(('{"epoch": 14, "epochs": 20, "epoch_seconds": 3}', '{"epo', "")):
        lease = acquire(attempts_folder(tmp_path / "a", fold))
        if text:
            (lease.path / "progress.json").write_text(text)
        lease.release("published")
    said = json.loads(volbench("status", tmp_path / "a", "--format", "json").output)["folds"]
    assert [(row["state"], row["epoch"], row["epochs"], row["minutes_left"]) for row in said] == [
        ("done", 14, 20, None),
        ("done", None, None, None),  # its file was cut
        ("failed", None, None, None),
    ]
    assert "  14/20" in volbench("status", tmp_path / "a").output.splitlines()[0]


def test_status_prints_plain_lines_or_json(tmp_path):
    write_run(tmp_path / "a", finished=[0], failed=[1])
    said = volbench("status", tmp_path)
    assert said.exit_code == 0, said.output
    lines = said.output.splitlines()
    assert lines[0] == "a  fold 0  done"
    assert lines[1] == "a  fold 1  failed  out of memory | really <now>"
    assert lines[-1] == "1 done, 1 failed, 1 waiting"
    rows = json.loads(volbench("status", tmp_path / "a", "--format", "json").output)["folds"]
    assert [row["state"] for row in rows] == ["done", "failed", "waiting"]


def test_status_fits_the_width_that_a_pipe_is_given(tmp_path, monkeypatch):
    write_run(tmp_path / "a-run-with-a-rather-long-name", finished=[0], failed=[1])
    monkeypatch.setenv("COLUMNS", "60")
    lines = volbench("status", tmp_path).output.splitlines()
    assert lines[0].split() == ["run", "fold", "state", "reason"]
    assert max(map(len, lines)) <= 60
    assert lines[-1] == "1 done, 1 failed, 1 waiting"


def test_runs_that_are_done_are_read_once(tmp_path):
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", finished=[0])
    reader, paths = StatusReader(), [tmp_path / "a", tmp_path / "b"]
    first = reader.read(paths)
    shutil.rmtree(tmp_path / "a")  # so a second look at it would fail
    assert reader.read(paths) == first
    write_run(tmp_path / "c", finished=[0, 1])
    shutil.move(tmp_path / "c/folds/01", tmp_path / "b/folds/01")
    assert [state.state for state in reader.read(paths)].count("done") == 5


def test_a_screen_too_small_for_all_folds_shows_those_that_run_or_failed():
    def fold(number, state):
        return FoldStatus("a", number, state)

    states = [fold(n, "done") for n in range(100)] + [fold(100, "running"), fold(101, "waiting")]
    states += [fold(102, "failed"), fold(103, "waiting")]
    assert [each.fold for each in _most_telling(states, 3)] == [100, 101, 102]
    assert [each.fold for each in _most_telling(states, 6)] == [0, 1, 100, 101, 102, 103]
    assert _most_telling(states, 500) == states


def test_logs_print_each_attempt_and_the_traceback(tmp_path):
    write_run(tmp_path / "a", finished=[0], failed=[1])
    for text in ("first\n", "second\n"):
        lease = acquire(attempts_folder(tmp_path / "a", 1))
        (lease.path / "log.txt").write_text(text)
        lease.release("failed")
    (tmp_path / "a/folds/01/traceback.txt").write_text("Traceback\n")
    said = volbench("logs", tmp_path / "a", "--fold", 1).output
    assert said.index("first") < said.index("second") < said.index("Traceback")
    assert "first" not in volbench("logs", tmp_path / "a", "--fold", 1, "--attempt", 2).output
    assert volbench("logs", tmp_path / "a", "--fold", 0).exit_code != 0


def test_disjoint_folds_merge_into_one_run(tmp_path):
    write_run(tmp_path / "x/a", finished=[0])
    write_run(tmp_path / "y/a", finished=[0, 2])
    write_run(tmp_path / "whole", finished=[0, 2])
    said = volbench("merge", tmp_path / "x/a", tmp_path / "y/a", "--out", tmp_path / "m")
    assert said.exit_code == 0, said.output
    merged, whole = load_run(tmp_path / "m"), load_run(tmp_path / "whole")
    assert merged.predictions == whole.predictions
    assert merged.experiment == whole.experiment


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"seed": 3}, "differ in seed"),
        ({"encoder": "r3d"}, "differ in encoder"),
    ],
)
def test_runs_of_different_experiments_are_refused_by_name(tmp_path, change, reason):
    write_run(tmp_path / "x", finished=[0])
    write_run(tmp_path / "y", finished=[1], **change)
    said = volbench("merge", tmp_path / "x", tmp_path / "y", "--out", tmp_path / "m")
    assert reason in str(said.exception) + said.output
    assert not (tmp_path / "m").exists()


def test_the_same_fold_with_other_predictions_is_refused(tmp_path):
    write_run(tmp_path / "x", finished=[0, 1])
    write_run(tmp_path / "other", finished=[0, 1], seed=5)
    write_run(tmp_path / "y", finished=[1])
    shutil.rmtree(tmp_path / "y/folds/01")
    shutil.copytree(tmp_path / "other/folds/01", tmp_path / "y/folds/01")
    said = volbench("merge", tmp_path / "x", tmp_path / "y", "--out", tmp_path / "m")
    assert "fold 1 has other predictions in" in str(said.exception) + said.output
