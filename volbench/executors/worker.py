"""Execution of a task in any worker: call it, report events, record how it ended."""

import contextlib
import importlib
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from volbench._utils.out_of_memory import is_out_of_memory
from volbench.errors import PreemptedError, VolbenchError
from volbench.interfaces import ExecutorEvent, ExecutorTask, TaskContext

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
"""What asks for a checkpoint: an end announced by the system, and SLURM's warning before it."""


class Stopping:
    """Remembers that the process was asked to stop, instead of ending at once."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    @property
    def is_asked(self) -> bool:
        """Whether somebody asked."""
        return self._asked.is_set()

    def ask(self, *_: object) -> None:
        """Ask; also a signal handler."""
        self._asked.set()

    @contextlib.contextmanager
    def on_signals(self) -> Iterator["Stopping"]:
        """Let `STOP_SIGNALS` ask, for the length of a ``with`` block; a second one ends at once."""
        before: dict[int, Any] = {}

        def handle(number: int, frame: FrameType | None) -> None:
            if self.is_asked and callable(before[number]):
                before[number](number, frame)
            self.ask()

        if threading.current_thread() is threading.main_thread():
            before = {number: signal.signal(number, handle) for number in STOP_SIGNALS}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class CallbackContext(TaskContext):
    """A context that hands what is reported to a function."""

    def __init__(
        self,
        on_report: Callable[[Mapping[str, Any]], None],
        stopping: Stopping,
        log: Path | None = None,
    ) -> None:
        self._on_report = on_report
        self._stopping = stopping
        self.log = log

    def report(self, value: Mapping[str, Any]) -> None:
        """Send plain data to the process that submitted the task."""
        self._on_report(value)

    @property
    def should_stop(self) -> bool:
        """Whether the task is to keep its state and end."""
        return self._stopping.is_asked


def call_task(task: ExecutorTask, context: TaskContext) -> ExecutorEvent:
    """Do a task in this process; whatever it raises becomes its last event.

    >>> task = ExecutorTask("a", "volbench.testing.toy_tasks:echo", {"text": "here"})
    >>> call_task(task, CallbackContext(print, Stopping())).value
    {'text': 'here'}
    """
    try:
        value = resolve(task.function)(task.payload, context)
    except PreemptedError as error:
        return ExecutorEvent(task.key, "preempted", reason=str(error))
    except Exception as error:
        kind = "out_of_memory" if is_out_of_memory(error) else "failed"
        reason = str(error) if isinstance(error, VolbenchError) else _reason(error)
        if not isinstance(error, VolbenchError):
            traceback.print_exc()
        name = type(error).__name__
        return ExecutorEvent(task.key, kind, reason=" ".join(reason.split()), error_type=name)  # type: ignore[arg-type]
    return ExecutorEvent(task.key, "done", dict(value))


def resolve(function: str) -> Callable[[Mapping[str, Any], TaskContext], Mapping[str, Any]]:
    """Import the function of a task: ``package.module:name``."""
    module, _, name = function.partition(":")
    found: Callable[..., Mapping[str, Any]] = getattr(importlib.import_module(module), name)
    return found


def describe_exit(code: int) -> str:
    """Tell how a process ended, from its exit code as `multiprocessing` gives it.

    >>> describe_exit(-9), describe_exit(3)
    ('SIGKILL', 'exit code 3')
    """
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def was_killed(code: int) -> bool:
    """Whether an exit code is what the system's out-of-memory killer leaves: SIGKILL, or 137."""
    return code in (-signal.SIGKILL, 128 + signal.SIGKILL)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
