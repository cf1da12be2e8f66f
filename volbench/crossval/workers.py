"""Worker processes that train folds in parallel; a crash fails one fold only."""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType

from volbench.crossval.task import Task, do_task
from volbench.errors import VolbenchError
from volbench.runs.folder import FoldResult, RunFolder
from volbench.training.fold import EpochReport

_PR_SET_PDEATHSIG = 1
GRACE_SECONDS = 10.0


class Workers:
    """Processes that do folds, kept from one run to the next; a context manager.

    Starting one takes seconds, most of them for importing torch, so runs that follow one another
    share them: ``with Workers() as workers: run(plan, workers=workers); run(...)``. None is started
    before it is needed.
    """

    def __init__(self) -> None:
        self._idle: list[_Worker] = []

    def __enter__(self) -> "Workers":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def take(self, number: int) -> list["_Worker"]:
        """Hand out so many, started where there are not enough."""
        while len(self._idle) < number:
            self._idle.append(_Worker())
        taken, self._idle = self._idle[:number], self._idle[number:]
        return taken

    def give_back(self, workers: Sequence["_Worker"]) -> None:
        """Take back those that are done; one that is still busy was abandoned and is ended."""
        for worker in workers:
            if worker.task is None:
                self._idle.append(worker)
            else:
                worker.stop()

    def stop(self) -> None:
        """End all of them."""
        while self._idle:
            self._idle.pop().stop()


def execute(
    tasks: Sequence[Task],
    *,
    jobs: int,
    on_start: Callable[[int], None],
    on_epoch: Callable[[EpochReport], None],
    workers: Workers | None = None,
) -> Iterator[FoldResult]:
    """Do the tasks, ``jobs`` at a time, and yield each result as it comes.

    A single job runs in this process. Others run in ``workers``, or in processes of their own that
    end with the last task.
    """
    if jobs == 1:
        for task in tasks:
            on_start(task.fold)
            yield do_task(task, on_epoch)
        return
    if workers is None:
        with Workers() as own:
            yield from execute(tasks, jobs=jobs, on_start=on_start, on_epoch=on_epoch, workers=own)
        return
    waiting = deque(tasks)
    taken = workers.take(min(jobs, len(tasks)))
    try:
        for worker in taken:
            worker.give(waiting, on_start)
        while busy := [worker for worker in taken if worker.task is not None]:
            ready = wait([worker.connection for worker in busy])
            for worker in busy:
                if worker.connection not in ready:
                    continue
                message = worker.receive()
                if isinstance(message, EpochReport):
                    on_epoch(message)
                    continue
                yield message
                worker.give(waiting, on_start)
    finally:
        workers.give_back(taken)


class _Worker:
    """A process that does one task after another."""

    def __init__(self) -> None:
        self.task: Task | None = None
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(
            target=_serve, args=(theirs, os.getpid()), daemon=True
        )
        self.process.start()
        theirs.close()

    def give(self, waiting: deque[Task], on_start: Callable[[int], None]) -> None:
        """Give the next task, if there is one."""
        self.task = waiting.popleft() if waiting else None
        if self.task is not None:
            on_start(self.task.fold)
            if not self.process.is_alive():  # it may have died between two runs
                self.stop()
                self._start()
            self.connection.send(self.task)

    def receive(self) -> EpochReport | FoldResult:
        """Wait for a report; the death of the process is a failed fold."""
        try:
            message = self.connection.recv()
        except (EOFError, ConnectionResetError):
            return self._bury()
        if isinstance(message, VolbenchError):
            raise message
        assert isinstance(message, EpochReport | FoldResult)
        return message

    def _bury(self) -> FoldResult:
        assert self.task is not None
        self.process.join()
        code = self.process.exitcode or 0
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        hint = "; was there too little memory? try --jobs 1" if code == -signal.SIGKILL else ""
        folder = RunFolder(self.task.run).fold(self.task.fold)
        result = folder.write_failure(f"the process training it ended with {how}{hint}")
        self._start()
        return result

    def stop(self) -> None:
        """End the process; what it had not recorded is redone from its last checkpoint."""
        self.connection.close()
        if self.task is None:  # it ends by itself, and takes its locks and helpers along
            self.process.join(GRACE_SECONDS)
        self.process.terminate()
        self.process.join()


def _serve(connection: Connection, parent: int) -> None:
    _end_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    while True:
        try:
            task = connection.recv()
        except (EOFError, ConnectionError):  # the parent is gone
            return
        try:
            connection.send(do_task(task, connection.send))
        except VolbenchError as error:
            connection.send(error)
        except ConnectionError:
            return


def _end_with(parent: int) -> None:
    """Die when the parent dies, even by SIGKILL, so that no fold is trained by two processes."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)
