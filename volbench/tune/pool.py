"""Trainings side by side that are handed out one at a time, because the next follows from the last.

The processes and what they do are those of a run: `executors.pool`, `crossval.task`.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from multiprocessing.connection import wait

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


def train(
    feed: Callable[[], Task | None],
    *,
    jobs: int,
    on_epoch: OnEpoch,
    on_step: OnStep = lambda task, report: None,
    workers: Workers | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[Task, FoldResult | None]]:
    """Train what ``feed`` hands out, ``jobs`` at a time; ends when nothing runs and none comes.

    A single job runs in this process, and keeps its state after an epoch if ``should_stop``.
    Yields each task with its result; None for one that was ended by ``on_epoch``.
    """
    if jobs == 1:
        while (task := feed()) is not None:
            yield task, _here(task, on_epoch, on_step, should_stop)
        return
    with ExitStack() as stack:
        workers = workers or stack.enter_context(Workers())
        taken = workers.take([ANY_DEVICE] * jobs)
        doing: dict[Worker, Task] = {}
        try:
            while True:
                for worker in taken:
                    if worker.task is None and (task := feed()) is not None:
                        doing[worker] = task
                        worker.give(executor_task(task, wait=True))
                busy = {worker.connection: worker for worker in taken if worker.task is not None}
                if not busy:
                    return
                for connection in wait(list(busy)):
                    worker = busy[connection]  # type: ignore[index]
                    task, event = doing[worker], worker.receive()
                    if event.kind != "progress":
                        yield task, _result(task, event)
                    elif STEP in event.value:
                        on_step(task, StepReport(**event.value[STEP]))
                    elif not on_epoch(task, EpochReport(**event.value)):
                        worker.restart()
                        forget(task.run, task.fold)
                        yield task, None
        finally:
            workers.give_back(taken)


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
