"""Folds handed to an executor: events turned into results, what is lost tried again.

A fold's record is its folder, never an event: an executor that loses or repeats one changes
nothing. What another process is at is waited for, and taken over when that falls silent.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from volbench import errors
from volbench._utils.out_of_memory import tell_retry
from volbench.crossval.fold_attempt import finished, record_failure
from volbench.crossval.fold_task import STEP, Task, executor_task, task_key
from volbench.errors import PreemptedError, StorageError, VolbenchError
from volbench.executors.lease import LeaseHeldError, LeaseLostError, current_attempt
from volbench.interfaces import Executor, ExecutorEvent
from volbench.runs.attempts import attempts_folder
from volbench.runs.folder import FoldResult, RunFolder
from volbench.training.fold_reports import EpochReport, StepReport

POLL_S = 1.0
"""Seconds between two looks at folds that other processes are at."""

ATTEMPTS = 2
"""So often is a fold begun whose process or machine is lost: it may be what ends them."""

ELSEWHERE = {LeaseHeldError.__name__, LeaseLostError.__name__}


@dataclass(frozen=True)
class Done:
    """What became of folds, by `task_key`.

    Attributes:
        results: Of those that are recorded, finished or failed.
        errors: Why the others are not: a machine that cannot see the data, a damaged folder.
    """

    results: dict[str, FoldResult]
    errors: dict[str, VolbenchError]


@dataclass(frozen=True)
class Listener:
    """What is called while folds are done; each gets the fold's task first."""

    on_start: Callable[[Task], None]
    on_epoch: Callable[[Task, EpochReport], None]
    on_end: Callable[[Task, FoldResult], None]
    on_wait: Callable[[Task, str], None]
    on_step: Callable[[Task, StepReport], None] = lambda task, report: None


def do_tasks(tasks: Sequence[Task], executor: Executor, folder: Path, listener: Listener) -> Done:
    """Do folds, of one run or of several, until each is finished or failed.

    What goes wrong with a fold never ends those of other runs, nor of other machines.

    Args:
        tasks: The folds.
        executor: Where they are done.
        folder: What the executor keeps, for logs and to attach again.
        listener: Called on progress.

    Raises:
        PreemptedError: it was asked to stop; every fold kept its state.
        StorageError: nothing can be recorded, as when the disk is full.
        ExecutorError: the executor cannot be used.
    """
    round_ = _Dispatch(tasks, executor, folder, listener)
    while round_.open:
        if round_.ready:
            round_.submit()
        else:
            time.sleep(POLL_S)
            round_.look_elsewhere()
    return Done(round_.results, round_.errors)


class _Dispatch:
    def __init__(
        self, tasks: Sequence[Task], executor: Executor, folder: Path, listener: Listener
    ) -> None:
        self.executor, self.folder, self.listener = executor, folder, listener
        self.open: dict[str, Task] = {task_key(task): task for task in tasks}
        self.ready: dict[str, Task] = dict(self.open)
        self.alone: set[str] = set()
        self.begun: Counter[str] = Counter()
        self.results: dict[str, FoldResult] = {}
        self.errors: dict[str, VolbenchError] = {}
        self.said: set[str] = set()
        self.fatal: VolbenchError | None = None
        # A task that waits costs a place; on a cluster that is better than a fold nobody is at.
        self.waits = executor.restarts

    def submit(self) -> None:
        submitted = self.ready
        self.ready = {}
        self.executor.submit(
            [
                executor_task(task, wait=self.waits, alone=key in self.alone)
                for key, task in submitted.items()
            ],
            self.folder,
            self.on_event,
        )
        if self.fatal is not None:
            raise self.fatal

    def on_event(self, event: ExecutorEvent) -> None:
        task = self.open.get(event.key)
        if task is None:  # it ended, and another process of it, a zombie, speaks still
            return
        match event.kind:
            case "started":
                self.begun[event.key] += 1
                self.listener.on_start(task)
            case "progress" if STEP in event.value:
                self.listener.on_step(task, StepReport(**event.value[STEP]))
            case "progress":
                self.listener.on_epoch(task, EpochReport(**event.value))
            case "done":
                self._end(task)
            case "failed":
                self._on_failed(task, event)
            case "out_of_memory":
                self._on_out_of_memory(task, event)
            case "lost":
                self._on_lost(task, event)
            case "preempted":
                self.fatal = PreemptedError("stopped; rerun the same command to resume")
            case "waiting":
                self.listener.on_wait(task, event.reason)

    def look_elsewhere(self) -> None:
        """Take what other processes finished, and take over what they left."""
        for key, task in list(self.open.items()):
            place = RunFolder(task.run).fold(task.fold)
            if finished(place) is not None:
                self._end(task)
                continue
            attempt = current_attempt(attempts_folder(task.run, task.fold))
            if attempt is None or attempt.state == "stale":
                self.ready[key] = task
            elif attempt.state == "ended":
                if attempt.outcome == "failed":
                    self._end(task)
                else:
                    self.ready[key] = task

    def _end(self, task: Task) -> None:
        result = RunFolder(task.run).fold(task.fold).result()
        if result is None:  # the plugin ended the process with a success that is none
            self._record(task, "it ended without a result")
            return
        key = task_key(task)
        del self.open[key]
        self.results[key] = result
        self.listener.on_end(task, result)

    def _record(self, task: Task, reason: str) -> None:
        record_failure(task.run, task.fold, reason)
        self._end(task)

    def _on_failed(self, task: Task, event: ExecutorEvent) -> None:
        if event.error_type in ELSEWHERE:
            self.listener.on_wait(task, "another process is at it")
            return
        kind = getattr(errors, event.error_type, None)
        if isinstance(kind, type) and issubclass(kind, VolbenchError):
            self._on_error(task, kind(event.reason))
            return
        self._record(task, event.reason)

    def _on_error(self, task: Task, error: VolbenchError) -> None:
        """Take an error that is not the training's, so that nothing is recorded of the fold."""
        key = task_key(task)
        if self.executor.restarts:  # it may be the machine's, and others are there
            if self.begun[key] < ATTEMPTS:
                self.ready[key] = task
                self._say_once(task, f"{error}; it is tried again")
                return
            self._give_up([key], error)
        elif isinstance(error, StorageError):  # this machine's disk, which all folds need
            self.fatal = error
            self.executor.cancel(list(self.open))
        else:  # the run's folder is damaged, or its data
            self._give_up([key for key, other in self.open.items() if other.run == task.run], error)

    def _give_up(self, keys: Sequence[str], error: VolbenchError) -> None:
        self.executor.cancel(keys)
        for key in keys:
            self.ready.pop(key, None)
            self._say_once(self.open.pop(key), str(error))
            self.errors[key] = error

    def _say_once(self, task: Task, reason: str) -> None:
        """Tell why a fold waits; what stops all of them alike is told of the first."""
        if reason not in self.said:
            self.said.add(reason)
            self.listener.on_wait(task, reason)

    def _on_out_of_memory(self, task: Task, event: ExecutorEvent) -> None:
        key = task_key(task)
        if key in self.alone:
            self._record(task, f"out of memory, also when tried alone: {event.reason}")
            return
        self.alone.add(key)
        self.ready[key] = task
        self.listener.on_wait(task, tell_retry(event.reason))

    def _on_lost(self, task: Task, event: ExecutorEvent) -> None:
        key = task_key(task)
        if self.begun[key] < ATTEMPTS:
            self.ready[key] = task
            self.listener.on_wait(task, f"{event.reason}; it is tried again")
            return
        self._record(task, event.reason)
