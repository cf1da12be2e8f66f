"""Trainings of a search side by side: devices, and what runs out of memory."""

from multiprocessing import Pipe

import pytest

from tests.helpers.small import write_small
from tests.tune.pretend import plan_for
from volbench.crossval.machine_sharing import Sharing
from volbench.crossval.open_run import fold_tasks
from volbench.crossval.settings import RunSettings
from volbench.errors import OutOfMemoryError
from volbench.executors.pool import Worker, Workers
from volbench.interfaces import TERMINAL_EVENTS, ExecutorEvent
from volbench.runs.folder import FoldResult, RunFolder
from volbench.training.device_and_precision import Compute
from volbench.tune import pool, run_tuning, tune
from volbench.tune.execution import Execution

CPU = Compute("cpu", "float32", 1)
EPOCH = {"fold": 0, "epoch": 1, "epochs": 2, "loss": 0.1, "auc": None}


class Scripted(Worker):
    """Answers as it is told to; notes when it begins and when it is begun anew."""

    def __init__(self, device, answers, log):
        self.device, self.answers, self.log = device, answers, log
        self.task = None
        self.connection, self.other_end = Pipe()

    def give(self, task):
        self.task = task
        self.log.append(("begins", task.key))
        self._answer(task.key)

    def _answer(self, key):
        kind = self.answers[key].pop(0)
        value = EPOCH if kind == "progress" else {}
        self.other_end.send(ExecutorEvent(key, kind, value))

    def receive(self):
        event = self.connection.recv()
        if event.kind in TERMINAL_EVENTS:
            self.task = None
        else:
            self._answer(event.key)
        self.log.append((event.kind, event.key))
        return event

    def restart(self):
        self.log.append(("anew", self.device))

    def stop(self):
        self.log.append(("left out", self.device))


class ScriptedWorkers(Workers):
    """Hands those out."""

    def __init__(self, answers, log):
        super().__init__()
        self.answers, self.log = answers, log

    def _take_one(self, device):
        return Scripted(device, self.answers, self.log)


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    return plan_for(write_small(tmp_path_factory.mktemp("small") / "data", cases=24).folder)


@pytest.fixture
def tasks(plan, tmp_path):
    return fold_tasks(plan.plan, RunFolder(tmp_path / "run"), range(4), CPU, RunSettings())


def trained(tasks, answers, monkeypatch, devices=("0", "0")):
    """What ended in which order, all that happened, and what was said."""

    def result(task, event):
        return FoldResult(task.fold, "finished" if event.kind == "done" else "failed")

    monkeypatch.setattr(pool, "_result", result)
    log, said = [], []
    left = list(tasks)
    done = pool.train(
        lambda: left.pop(0) if left else None,
        devices=devices,
        on_epoch=lambda task, report: True,
        on_retry=lambda task, reason: said.append((task.fold, reason)),
        workers=ScriptedWorkers({f"run/{fold}": [*kinds] for fold, kinds in answers.items()}, log),
    )
    return [(task.fold, result.status) for task, result in done], log, said


def test_a_training_that_runs_out_of_memory_is_tried_again_alone(tasks, monkeypatch):
    answers = {
        0: ["out_of_memory", "progress", "done"],
        1: ["progress", "progress", "done"],
        2: ["done"],
        3: ["done"],
    }
    ended, log, said = trained(tasks, answers, monkeypatch, devices=["0"] * 3)
    assert sorted(ended) == [(fold, "finished") for fold in range(4)]
    assert said == [(0, "out of memory (); it is tried again alone")]
    again = [at for at, what in enumerate(log) if what == ("begins", "run/0")][1]
    running = {key for kind, key in log[:again] if kind == "begins"} - {
        key for kind, key in log[:again] if kind in ("done", "out_of_memory")
    }
    assert not running  # what had begun beside it has ended
    assert log.count(("left out", "0")) == 1
    # What the processes had kept of the device's memory is given back before.
    assert log[again - 2 : again] == [("anew", "0")] * 2
    # And nothing begins beside it.
    assert log[again + 1 : again + 3] == [("progress", "run/0"), ("done", "run/0")]


def test_one_that_runs_out_of_memory_alone_has_failed(tasks, monkeypatch):
    answers = {0: ["out_of_memory"] * 2, 1: ["done"], 2: ["out_of_memory", "done"], 3: ["done"]}
    ended, _, said = trained(tasks, answers, monkeypatch)
    assert sorted(ended) == [(0, "failed"), (1, "finished"), (2, "finished"), (3, "finished")]
    assert [fold for fold, _ in said] == [0, 2]


def test_both_that_run_out_of_memory_beside_each_other_are_tried_again(tasks, monkeypatch):
    answers = {0: ["out_of_memory", "done"], 1: ["out_of_memory", "done"], 2: ["done"], 3: ["done"]}
    ended, log, said = trained(tasks, answers, monkeypatch)
    assert sorted(ended) == [(fold, "finished") for fold in range(4)]
    assert [fold for fold, _ in said] == [0, 1]
    assert log.count(("left out", "0")) == 1  # the last process of a GPU stays


def test_the_only_process_of_a_gpu_is_alone_already(tasks, monkeypatch):
    answers = {fold: ["out_of_memory"] for fold in range(4)}
    ended, _, said = trained(tasks, answers, monkeypatch, devices=("1",))
    assert ended == [(fold, "failed") for fold in range(4)]
    assert not said


def test_trainings_are_dealt_out_to_the_gpus_and_record_their_steps(plan, tmp_path, monkeypatch):
    gpus = Sharing(Compute("cpu", "float32", 1), 3, (0, 2))
    monkeypatch.setattr(run_tuning, "share", lambda plan, settings, tasks: gpus)
    given = []

    def train(feed, *, devices, **options):
        given.append(devices)
        raise OutOfMemoryError("enough")

    monkeypatch.setattr(run_tuning, "train", train)
    with pytest.raises(OutOfMemoryError):
        tune(plan, out=tmp_path)
    assert given == [["0", "2", "0"]]
    one = Sharing(Compute("cuda", "float32", 1), 1, (2, 0))
    assert run_tuning._places(one) == (Compute("cuda:2", "float32", 1), [""])
    part = plan.plan.part(0)
    task = Execution(CPU).task(
        plan.plan.experiment, plan.plan.prepared.folder, tmp_path / "run", 0, part
    )
    assert task.compute.graphs == "auto"
