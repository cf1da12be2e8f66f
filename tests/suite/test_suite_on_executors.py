"""Suites whose folds are trained together, as tasks of one executor."""

import re
import shutil
from typing import ClassVar

import pytest
from click.testing import CliRunner

from tests.suite.suites import write_suite
from volbench.cli.main import main
from volbench.errors import StateError
from volbench.executors.local import Local
from volbench.executors.worker import CallbackContext, Stopping, call_task
from volbench.interfaces import Executor, ExecutorEvent
from volbench.plugins.registry import executors
from volbench.suite import load_suite, run_suite

TWO = """
[[table]]
title = "Two"
level = "slice"
encoder = ["r2d(width=2)", "rmc5(width=2)"]
loss = "focal"
"""


class Elsewhere(Executor):
    """Another machine, which is this process: remembers what was submitted together."""

    restarts = True
    cpus = 1
    submitted: ClassVar[list[list[str]]] = []

    def __init__(self):
        self.hidden = ()

    def submit(self, tasks, folder, on_event):
        self.submitted.append([task.key for task in tasks])
        for task in tasks:
            on_event(ExecutorEvent(task.key, "started"))

            def report(value, key=task.key):
                on_event(ExecutorEvent(key, "progress", value))

            on_event(call_task(task, CallbackContext(report, Stopping())))

    def describe(self, tasks, folder):
        return f"{len(tasks)} tasks elsewhere: {tasks[0].key}"


@pytest.fixture
def elsewhere():
    Elsewhere.submitted = []
    with executors.adding(elsewhere=Elsewhere):
        yield Elsewhere


def suite_command(*arguments):
    done = CliRunner().invoke(main, ["suite", *map(str, arguments)])
    return done.exit_code, done.stdout, done.stderr


def files(out, name):
    return {path.relative_to(out): path.read_bytes() for path in out.glob(f"*/folds/*/{name}")}


def test_all_folds_of_all_experiments_are_submitted_together_with_the_bits_of_local(
    tmp_path, elsewhere
):
    path = write_suite(tmp_path, TWO)
    here, there = tmp_path / "here", tmp_path / "there"
    code, _, said = suite_command("run", path, "--out", here, "--jobs", "2", "--device", "cpu")
    assert code == 0, said
    code, told, said = suite_command("run", path, "--out", there, "--on", "elsewhere")
    assert code == 0, said
    assert told.splitlines()[0] == "2 finished experiments"
    (keys,) = elsewhere.submitted
    assert [re.sub(r"-\w{8}/", "/", key) for key in keys] == [
        f"{encoder}-slice-focal/{fold}" for encoder in ("r2d", "rmc5") for fold in (0, 1)
    ]
    assert re.search(r"^rmc5-slice-focal  fold  1  AUC .*\(4 of 4 folds", said, re.MULTILINE)
    assert files(there, "predictions.csv") == files(here, "predictions.csv")
    assert len(files(there, "predictions.csv")) == 4
    assert len(list(there.glob("*/audit.csv"))) == 2

    code, told, said = suite_command("run", path, "--out", there, "--on", "elsewhere")
    assert (code, elsewhere.submitted[1:]) == (0, [])
    assert "4 finished already" in said


def test_a_dry_run_shows_what_would_be_submitted_and_makes_nothing(tmp_path, elsewhere):
    path = write_suite(tmp_path, TWO)
    out = tmp_path / "runs"
    code, told, _ = suite_command("run", path, "--out", out, "--on", "elsewhere", "--dry-run")
    assert code == 0
    assert "4 tasks elsewhere: r2d-slice-focal" in told
    assert not out.exists()
    assert elsewhere.submitted == []
    pytest.importorskip("submitit")
    on = "slurm(partition='gpu', gpus=1, array=3)"
    code, told, _ = suite_command("run", path, "--out", out, "--on", on, "--dry-run")
    assert code == 0
    assert "#SBATCH --array=0-3%3\n" in told
    assert not out.exists()


def test_an_experiment_that_goes_wrong_leaves_the_others_alone(tmp_path, elsewhere):
    """Its folder was damaged: not a failure of training, which would be recorded."""
    suite = load_suite(write_suite(tmp_path, TWO))
    out = tmp_path / "runs"
    run_suite(suite, out=out, jobs=1)
    first = next(out.glob("r2d-*"))
    (first / "folds/01/predictions.csv").write_text("changed")
    second = next(out.glob("rmc5-*"))
    shutil.rmtree(second / "folds/01")
    results = run_suite(suite, out=out, executor=Elsewhere())
    assert "predictions.csv is missing or was changed" in results[0].error
    assert results[1].error is None
    assert (second / "folds/01/result.json").is_file()


def test_a_machine_that_cannot_see_the_folders_is_one_line_and_others_go_on(tmp_path, monkeypatch):
    """Tried twice, as it may be that machine's fault; nothing is made where the run is not."""
    suite = load_suite(write_suite(tmp_path, TWO))
    out = tmp_path / "runs"

    class Blind(Elsewhere):
        def submit(self, tasks, folder, on_event):
            blind = {**tasks[0].payload["task"], "run": str(tmp_path / "not/here")}
            payload = {**tasks[0].payload, "task": blind}
            first = type(tasks[0])(tasks[0].key, tasks[0].function, payload)
            super().submit([first, *tasks[1:]], folder, on_event)

    results = run_suite(suite, out=out, executor=Blind())
    assert re.fullmatch(
        r"\S+ cannot see the run's folder .*not/here; give --out on a disk that all machines share",
        results[0].error,
    )
    assert len(results[1].outcome.results) == 2
    assert len(list(next(out.glob("r2d-*")).glob("folds/*/result.json"))) == 1
    assert not (tmp_path / "not").exists()


def test_two_local_processes_take_the_folds_of_a_suite(tmp_path):
    suite = load_suite(write_suite(tmp_path, TWO))
    with Local(jobs=2) as executor:
        results = run_suite(suite, out=tmp_path / "runs", executor=executor)
    assert [len(result.outcome.results) for result in results] == [2, 2]
    assert not any(result.error for result in results)


def test_a_damaged_fold_ends_its_run_with_one_line(tmp_path):
    suite = load_suite(write_suite(tmp_path, TWO))
    out = tmp_path / "runs"
    run_suite(suite, out=out, jobs=1)
    changed = next(out.glob("r2d-*")) / "folds/01/predictions.csv"
    changed.write_text("changed")
    from volbench.crossval import run
    from volbench.suite import plan_suite

    first, second = (each.plan for each in plan_suite(suite))
    with pytest.raises(StateError, match="is missing or was changed"):
        run(first, out=out, executor=Elsewhere())
    (next(out.glob("rmc5-*")) / "folds/01/result.json").unlink()
    with pytest.raises(StateError, match="folds/01 holds files but no result; delete it"):
        run(second, out=out, executor=Elsewhere())
