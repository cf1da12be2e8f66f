"""Trainings side by side that are handed out one at a time, because the next follows from the last.

The processes and what they do are those of a run: `benchmark.executor`, `benchmark.task`.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from multiprocessing.connection import wait

from volbench.crossval.task import CHECKPOINT, Task, do_task
from volbench.crossval.workers import Workers
from volbench.runs.folder import FoldResult, RunFolder
from volbench.training.fold import EpochReport

Hear = Callable[[Task, EpochReport], bool]
"""Hears of an epoch; answers whether the training goes on."""


def train(
    feed: Callable[[], Task | None],
    *,
    jobs: int,
    on_epoch: Hear,
    workers: Workers | None = None,
) -> Iterator[tuple[Task, FoldResult | None]]:
    """Train what ``feed`` hands out, ``jobs`` at a time; ends when nothing runs and none comes.

    A single job runs in this process. Yields each task with its result; None for one that was
    ended by ``on_epoch``.
    """
    if jobs == 1:
        while (task := feed()) is not None:
            yield task, _here(task, on_epoch)
        return
    with ExitStack() as stack:
        workers = workers or stack.enter_context(Workers())
        taken = workers.take(jobs)
        try:
            while True:
                for worker in taken:
                    if worker.task is None and (task := feed()) is not None:
                        worker.give(deque([task]), lambda fold: None)
                busy = {worker.connection: worker for worker in taken if worker.task is not None}
                if not busy:
                    return
                for connection in wait(list(busy)):
                    worker = busy[connection]  # type: ignore[index]
                    task = worker.task
                    assert task is not None
                    message = worker.receive()
                    if isinstance(message, FoldResult):
                        worker.task = None
                        yield task, message
                    elif not on_epoch(task, message):
                        worker.stop()  # the next task starts another process
                        worker.task = None
                        _forget(task)
                        yield task, None
        finally:
            workers.give_back(taken)


class _Ended(BaseException):
    """Ends a training from within; no `Exception`, or it would be recorded as a failure."""


def _here(task: Task, on_epoch: Hear) -> FoldResult | None:
    def report_epoch(report: EpochReport, task: Task) -> None:
        if not on_epoch(task, report):
            raise _Ended

    try:
        return do_task(task, partial(report_epoch, task=task))
    except _Ended:
        _forget(task)
        return None


def _forget(task: Task) -> None:
    (RunFolder(task.run).fold(task.fold).path / CHECKPOINT).unlink(missing_ok=True)
