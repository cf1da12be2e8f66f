"""Folds side by side in worker processes; a worker that dies fails its fold and nothing else."""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from volbench.benchmark.task import Task, do_task
from volbench.engine.fold import EpochReport
from volbench.errors import VolbenchError
from volbench.records import FoldResult, RunFolder

_PR_SET_PDEATHSIG = 1


def execute(
    tasks: Sequence[Task],
    *,
    jobs: int,
    on_start: Callable[[int], None],
    on_epoch: Callable[[EpochReport], None],
) -> Iterator[FoldResult]:
    """Do the tasks, ``jobs`` at a time, and yield each result as it comes.

    A single job runs in this process.
    """
    if jobs == 1:
        for task in tasks:
            on_start(task.fold)
            yield do_task(task, on_epoch)
        return
    waiting = deque(tasks)
    workers = [_Worker() for _ in range(min(jobs, len(tasks)))]
    try:
        for worker in workers:
            worker.give(waiting, on_start)
        while busy := [worker for worker in workers if worker.task is not None]:
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
        for worker in workers:
            worker.stop()


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
        self.process.terminate()
        self.process.join()


def _serve(connection: Connection, parent: int) -> None:
    _end_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        try:
            connection.send(do_task(task, connection.send))
        except VolbenchError as error:
            connection.send(error)
        except BrokenPipeError:
            return


def _end_with(parent: int) -> None:
    """Die when the parent dies, even by SIGKILL, so that no fold is trained by two processes."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)
