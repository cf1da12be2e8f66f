"""What is decided where a fold runs, not where it was submitted."""

import json
from dataclasses import replace
from typing import ClassVar

import pytest
import torch

from tests.crossval.test_profile import plan_for
from tests.helpers.small import write_small
from volbench.crossval import dispatch, on_node
from volbench.crossval.fold_task import Task, require_visible
from volbench.crossval.on_node import OnNode, decide
from volbench.crossval.open_run import describe_tasks
from volbench.crossval.run_cross_validation import Callback, run
from volbench.crossval.settings import RunSettings
from volbench.errors import StateError, UsageError
from volbench.executors.lease import acquire
from volbench.executors.ray import Ray
from volbench.executors.slurm import Slurm
from volbench.interfaces import Executor, ExecutorEvent
from volbench.runs.attempts import attempts_folder
from volbench.training.device_and_precision import Compute


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    return plan_for(write_small(tmp_path_factory.mktemp("small") / "data", cases=12).folder)


def test_a_head_without_a_gpu_asks_for_one_and_decides_nothing(plan, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (task, *_) = describe_tasks(plan, tmp_path, (0,), RunSettings(), Slurm(gpus=1, cpus=4))
    asked = Task.from_json(json.loads(json.dumps(task.payload["task"]))).compute
    assert asked == OnNode("cuda", 4, "auto", "auto", "auto")
    with pytest.raises(UsageError, match="this machine has no usable CUDA device"):
        asked.choose("auto")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    chosen = asked.choose("auto")
    assert (chosen.device, chosen.precision, chosen.threads, chosen.graphs) == (
        "cuda",
        "bfloat16",
        4,
        True,
    )
    assert asked.choose("float32").precision == "float32"


def test_tasks_without_gpus_use_what_their_machine_has():
    assert OnNode.of(RunSettings(), Ray(cpus=0.5)).device == "auto"
    assert OnNode.of(RunSettings(), Ray(cpus=0.5)).threads == 1
    assert OnNode.of(RunSettings(device="cpu"), Ray(gpus=0.5)).device == "cpu"
    assert OnNode.of(RunSettings(profile=True), Ray()).features == "off"


def test_a_process_tries_bfloat16_once_for_all_folds_of_an_experiment(plan, monkeypatch):
    tried = []

    def check(experiment, prepared, compute):
        tried.append(compute)
        return replace(compute, threads=7), ["goes wrong"]

    monkeypatch.setattr(on_node, "check_bfloat16", check)
    monkeypatch.setattr(on_node, "_DECIDED", {})
    compute = Compute("cpu", "bfloat16", 1)
    for _ in range(2):
        chosen, stored, notes = decide(plan.experiment, plan.prepared, compute, features="auto")
        assert (chosen.threads, stored, notes) == (7, None, ("goes wrong",))
    assert len(tried) == 1


def test_data_that_a_machine_cannot_see_are_named(plan, tmp_path):
    (task, *_) = describe_tasks(plan, tmp_path, (0,), RunSettings(), Ray())
    values = task.payload["task"]
    (tmp_path / "experiment.json").write_text("{}")
    blind = Task.from_json({**values, "prepared": str(tmp_path / "none")})
    with pytest.raises(StateError, match=r"cannot see the prepared data .*; prepare them"):
        require_visible(blind)


class Blind(Executor):
    """A machine that does not see the prepared data."""

    restarts = True
    cpus = 1

    def submit(self, tasks, folder, on_event):
        for task in tasks:
            on_event(ExecutorEvent(task.key, "started"))
            reason = "node7 cannot see the prepared data"
            on_event(ExecutorEvent(task.key, "failed", reason=reason, error_type="StateError"))

    def describe(self, tasks, folder):
        return "tasks elsewhere"


@pytest.mark.timeout(60)
def test_what_stops_all_folds_alike_is_told_of_the_first(plan, tmp_path):
    class Told(Callback):
        reasons: ClassVar[list[str]] = []

        def on_wait(self, fold, reason):
            self.reasons.append(reason)

    with pytest.raises(StateError, match="node7 cannot see the prepared data"):
        run(plan, out=tmp_path, executor=Blind(), callback=Told())
    assert Told.reasons == [
        "node7 cannot see the prepared data; it is tried again",
        "node7 cannot see the prepared data",
    ]


class Idle(Blind):
    """Says that every fold is done, and has done nothing."""

    restarts = False

    def submit(self, tasks, folder, on_event):
        for task in tasks:
            on_event(ExecutorEvent(task.key, "started"))
            on_event(ExecutorEvent(task.key, "done"))


def test_a_success_without_a_result_is_a_failure(plan, tmp_path):
    outcome = run(plan, out=tmp_path, executor=Idle())
    assert len(outcome.failed) == len(plan.split.folds)
    assert {result.error for result in outcome.failed} == {"it ended without a result"}


class Silent(Blind):
    """Its first submission is begun by a process that dies at once; the second ends each fold."""

    restarts = False

    def __init__(self, run):
        self.run, self.submissions = run, 0

    def submit(self, tasks, folder, on_event):
        self.submissions += 1
        for task in tasks:
            if self.submissions == 1:
                _begin_and_die(attempts_folder(self.run, int(task.key.rpartition("/")[2])))
                on_event(ExecutorEvent(task.key, "failed", error_type="LeaseHeldError"))
            else:
                on_event(ExecutorEvent(task.key, "failed", reason="it was taken over"))


def _begin_and_die(attempts):
    lease = acquire(attempts)
    told = json.loads((lease.path / "lease.json").read_text())
    told["process"]["started"] -= 1  # a process that had this one's number before
    (lease.path / "lease.json").write_text(json.dumps(told))


@pytest.mark.timeout(60)
def test_a_fold_whose_process_died_elsewhere_is_taken_over(plan, tmp_path, monkeypatch):
    monkeypatch.setattr(dispatch, "POLL_S", 0.01)
    executor = Silent(tmp_path / "run")
    outcome = run(plan, out=tmp_path, name="run", executor=executor)
    assert executor.submissions == 2
    assert {result.error for result in outcome.failed} == {"it was taken over"}
