"""Pool of worker processes on this machine, each pinned to its device."""

import ctypes
import gc
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType

from volbench._utils.fork_server import start_context
from volbench._utils.logs import start_logging
from volbench.executors.worker import (
    STOP_SIGNALS,
    CallbackContext,
    Stopping,
    call_task,
    describe_exit,
    was_killed,
)
from volbench.interfaces import TERMINAL_EVENTS, ExecutorEvent, ExecutorTask

_PR_SET_PDEATHSIG = 1
GRACE_SECONDS = 10.0
ANY_DEVICE = ""
"""A worker that sees all devices, as its parent does."""


def dealt_out(jobs: int, gpus: Sequence[str]) -> list[str]:
    """Device of each of so many workers: the GPUs in turn, or any.

    >>> dealt_out(3, ["0", "2"]), dealt_out(2, [])
    (['0', '2', '0'], ['', ''])
    """
    names = gpus or [ANY_DEVICE]
    return [names[number % len(names)] for number in range(jobs)]


class Workers:
    """Processes that do tasks, kept from one run to the next; a context manager.

    A process has read the data and warmed up its libraries, so runs that follow one another
    share them: ``with Workers() as workers: run(plan, workers=workers); run(...)``. None is started
    before it is needed.
    """

    def __init__(self) -> None:
        self._idle: list[Worker] = []

    def __enter__(self) -> "Workers":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def take(self, devices: Sequence[str]) -> list["Worker"]:
        """Hand out one worker for each device, started where there is none.

        Args:
            devices: What ``CUDA_VISIBLE_DEVICES`` is in each; `ANY_DEVICE` leaves it alone.
        """
        return [self._take_one(device) for device in devices]

    def give_back(self, workers: Sequence["Worker"]) -> None:
        """Take back those that are done; one that is still busy was abandoned and is ended."""
        for worker in workers:
            if worker.task is None:
                self._idle.append(worker)
            else:
                worker.stop()

    def free(self, device: str, taken: Sequence["Worker"]) -> None:
        """Give back what waiting processes keep of a device's memory; those taken begin anew.

        PyTorch keeps what a task has freed for the next one in its process, out of others' reach.
        """
        idle = [worker for worker in self._idle if worker.device == device]
        self._idle = [worker for worker in self._idle if worker.device != device]
        for worker in idle:
            worker.stop()
        for worker in taken:
            if worker.device == device and worker.task is None:
                worker.restart()

    def leave_out(self, worker: "Worker", taken: list["Worker"]) -> None:
        """End a process whose device has too little memory for all; the last of a device stays."""
        if sum(other.device == worker.device for other in taken) > 1:
            taken.remove(worker)
            worker.stop()

    def stop(self) -> None:
        """End all of them, side by side: leaving a GPU takes each a while."""
        for worker in self._idle:
            worker.dismiss()
        while self._idle:
            self._idle.pop().stop()

    def _take_one(self, device: str) -> "Worker":
        for worker in self._idle:
            if worker.device == device:
                self._idle.remove(worker)
                return worker
        return Worker(device)


class Worker:
    """A process that does one task after another.

    Attributes:
        device: What ``CUDA_VISIBLE_DEVICES`` is in it.
        task: What it is doing; None while it waits.
    """

    def __init__(self, device: str = ANY_DEVICE) -> None:
        self.device = device
        self.task: ExecutorTask | None = None
        self._asked_to_stop = False
        self._start()

    def _start(self) -> None:
        context = start_context()
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(
            target=_serve, args=(theirs, dict(os.environ), self.device), daemon=True
        )
        self.process.start()
        theirs.close()

    def give(self, task: ExecutorTask) -> None:
        """Begin a task; the worker must be waiting."""
        self.task, self._asked_to_stop = task, False
        if not self.process.is_alive():  # it may have died between two runs
            self._end()
            self._start()
        self.connection.send(task)

    def receive(self) -> ExecutorEvent:
        """Wait for the next event; the death of the process is one."""
        assert self.task is not None
        try:
            event = self.connection.recv()
        except (EOFError, ConnectionResetError):
            event = self._bury(self.task.key)
        assert isinstance(event, ExecutorEvent)
        if event.kind in TERMINAL_EVENTS:
            self.task = None
        return event

    def ask_to_stop(self) -> None:
        """Have the task keep its state and end."""
        self._asked_to_stop = True
        if self.process.pid is not None and self.process.is_alive():
            os.kill(self.process.pid, signal.SIGTERM)

    def restart(self) -> None:
        """End what it is doing, and wait for the next task in a new process."""
        self._end()
        self.task = None
        self._start()

    def dismiss(self) -> None:
        """Have a process that waits for a task end by itself."""
        self.connection.close()

    def stop(self) -> None:
        """End the process; what it had not recorded is redone from its last checkpoint."""
        self._end()

    def _end(self) -> None:
        self.dismiss()
        if self.task is None:  # it ends by itself, and takes its locks and helpers along
            self.process.join(GRACE_SECONDS)
        self.process.kill()
        self.process.join()

    def _bury(self, key: str) -> ExecutorEvent:
        self.process.join()
        code = self.process.exitcode or 0
        reason = f"the process training it ended with {describe_exit(code)}"
        self._start()
        if self._asked_to_stop:  # before it could tell: while it imported torch
            return ExecutorEvent(key, "preempted", reason=reason)
        if was_killed(code):
            return ExecutorEvent(key, "out_of_memory", reason=f"{reason}; was memory short?")
        return ExecutorEvent(key, "lost", reason=reason)


def _serve(connection: Connection, environment: Mapping[str, str], device: str) -> None:
    _end_with_parent()
    gc.freeze()  # what was imported before it was forked is no garbage: a collection took 0.3 s
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    if hasattr(signal, "pthread_sigmask"):  # the fork server lets them wait
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    os.environ.clear()  # of the fork server, which may be older than what the parent has set
    os.environ.update(environment)
    start_logging()
    if device != ANY_DEVICE:
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    while True:
        try:
            task = connection.recv()
        except (EOFError, ConnectionError):  # the parent is gone
            return
        stopping = Stopping()

        def report(value: object, key: str = task.key) -> None:
            connection.send(ExecutorEvent(key, "progress", value))  # type: ignore[arg-type]

        with stopping.on_signals():
            try:
                connection.send(call_task(task, CallbackContext(report, stopping)))
            except ConnectionError:
                return


def _end_with_parent() -> None:
    """Die when the parent dies, even by SIGKILL, so that no fold is trained by two processes.

    The fork server dies with the parent, and what it forked with the fork server.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = multiprocessing.parent_process()
    if parent is None or wait([parent.sentinel], timeout=0):  # it was faster
        sys.exit(1)
