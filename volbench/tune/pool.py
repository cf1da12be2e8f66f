"""Trainings side by side that are handed out one at a time, because the next follows from the last.

The processes and what they do are those of a run: `executors.pool`, `crossval.fold_task`.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from multiprocessing.connection import Connection, wait

from volbench._utils.out_of_memory import tell_retry
from volbench.crossval.fold_attempt import forget, record_failure
from volbench.crossval.fold_task import STEP, Task, do_task, executor_task
from volbench.errors import OutOfMemoryError
from volbench.executors.pool import ANY_DEVICE, Worker, Workers
from volbench.executors.run_tasks import error_of
from volbench.interfaces import ExecutorEvent
from volbench.runs.folder import FoldResult, RunFolder
from volbench.training.fold_reports import EpochReport, StepReport

OnEpoch = Callable[[Task, EpochReport], bool]
"""Called after each epoch; returns whether to continue training."""

OnStep = Callable[[Task, StepReport], None]
"""Called within epochs that take long."""

OnRetry = Callable[[Task, str], None]
"""Called with the reason why a training is done once more."""


def train(
    feed: Callable[[], Task | None],
    *,
    devices: Sequence[str],
    on_epoch: OnEpoch,
    on_step: OnStep = lambda task, report: None,
    on_retry: OnRetry = lambda task, reason: None,
    workers: Workers | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[Task, FoldResult | None]]:
    """Train what ``feed`` hands out; ends when nothing runs and none comes.

    Yields each task with its result; None for one that was ended by ``on_epoch``.

    Args:
        feed: Hands out the next training; None while there is none.
        devices: A process for each, which sees that GPU only. A single one that may see any is
            this process, which keeps its state after an epoch if ``should_stop``.
        on_epoch: Called after each epoch; returns whether to continue training.
        on_step: Called within epochs that take long.
        on_retry: Called where one runs out of memory, which is tried again without others beside.
        workers: Processes that outlive this; by default it starts its own and ends them.
        should_stop: Asked after each epoch.
    """
    if list(devices) == [ANY_DEVICE]:
        while (task := feed()) is not None:
            yield task, _here(task, on_epoch, on_step, should_stop)
        return
    with ExitStack() as stack:
        workers = workers or stack.enter_context(Workers())
        taken = workers.take(devices)
        side_by_side = _SideBySide(workers, taken, feed, on_epoch, on_step, on_retry)
        try:
            while busy := side_by_side.begin():
                for connection in wait(list(busy)):
                    yield from side_by_side.hear(busy[connection])  # type: ignore[index]
        finally:
            workers.give_back(taken)


class _SideBySide:
    """What runs, and what is to run alone."""

    def __init__(
        self,
        pool: Workers,
        workers: list[Worker],
        feed: Callable[[], Task | None],
        on_epoch: OnEpoch,
        on_step: OnStep,
        on_retry: OnRetry,
    ) -> None:
        self._pool = pool
        self._workers = workers
        self._shared = len(workers) > 1
        self._feed = feed
        self._on_epoch = on_epoch
        self._on_step = on_step
        self._on_retry = on_retry
        self._doing: dict[Worker, Task] = {}
        self._again: deque[Task] = deque()
        self._alone: Task | None = None

    def begin(self) -> dict[Connection, Worker]:
        """Give idle workers what there is to do; those that are busy, by connection."""
        if self._again:
            if not self._busy():
                self._alone = self._again.popleft()
                self._pool.free(self._workers[0].device, self._workers)
                self._give(self._workers[0], self._alone)
        elif self._alone is None:
            for worker in self._workers:
                if worker.task is None and (task := self._feed()) is not None:
                    self._give(worker, task)
        return self._busy()

    def hear(self, worker: Worker) -> Iterator[tuple[Task, FoldResult | None]]:
        """Take what a worker says; yield its task once that has ended."""
        task, event = self._doing[worker], worker.receive()
        if event.kind == "progress":
            if STEP in event.value:
                self._on_step(task, StepReport(**event.value[STEP]))
                return
            if self._on_epoch(task, EpochReport(**event.value)):
                return
            worker.restart()
            forget(task.run, task.fold)
            result = None
        elif event.kind == "out_of_memory" and task is not self._alone and self._shared:
            self._again.append(task)
            self._pool.leave_out(worker, self._workers)
            self._on_retry(task, tell_retry(event.reason))
            return
        else:
            result = _result(task, event)
        if task is self._alone:
            self._alone = None
        yield task, result

    def _busy(self) -> dict[Connection, Worker]:
        return {worker.connection: worker for worker in self._workers if worker.task is not None}

    def _give(self, worker: Worker, task: Task) -> None:
        self._doing[worker] = task
        worker.give(executor_task(task, wait=True))


class _Ended(BaseException):
    """Ends a training from within; no `Exception`, or it would be recorded as a failure."""


def _here(
    task: Task, on_epoch: OnEpoch, on_step: OnStep, should_stop: Callable[[], bool]
) -> FoldResult | None:
    def hear(report: EpochReport, task: Task) -> None:
        if not on_epoch(task, report):
            raise _Ended

    try:
        return do_task(
            task,
            partial(hear, task=task),
            on_step=partial(on_step, task),
            should_stop=should_stop,
        )
    except OutOfMemoryError as error:
        return record_failure(task.run, task.fold, f"out of memory: {error}")
    except _Ended:
        forget(task.run, task.fold)
        return None


def _result(task: Task, event: ExecutorEvent) -> FoldResult:
    result = RunFolder(task.run).fold(task.fold).result()
    if event.kind == "done" and result is not None:
        return result
    error = error_of(event)
    if error is not None and event.kind in ("preempted", "failed"):
        raise error
    return record_failure(task.run, task.fold, str(error or event.reason))
