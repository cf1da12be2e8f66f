"""Run tasks to their ends on an executor: what is lost or out of memory is tried once more.

For tasks whose outcome is what they return or leave in a folder; folds have a record of their own
(`crossval.dispatch`).
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from volbench import errors
from volbench.errors import ExecutorError, PreemptedError, VolbenchError
from volbench.interfaces import TERMINAL_EVENTS, Executor, ExecutorEvent, ExecutorTask

OnLine = Callable[[str], None]

ATTEMPTS = 2
"""So often is a task begun that is lost or out of memory."""


def run_tasks(
    executor: Executor,
    tasks: Sequence[ExecutorTask],
    folder: Path,
    *,
    on_progress: Callable[[Mapping[str, Any]], None] = lambda value: None,
    on_line: OnLine = lambda line: None,
) -> dict[str, ExecutorEvent]:
    """Run tasks until each has ended for good; one that ran out of memory is tried again alone.

    Args:
        executor: Where they run.
        tasks: What to do.
        folder: What the executor keeps, for logs and to attach again.
        on_progress: Called with what a task reports.
        on_line: Called with what a user should know: a task that is lost, waits or failed.

    Returns:
        The last event of each task, by its key.

    Raises:
        ExecutorError: the executor cannot be reached.
    """
    begun: Counter[str] = Counter()
    ended: dict[str, ExecutorEvent] = {}
    known = {task.key: task for task in tasks}
    left = dict(known)
    while left:
        again: dict[str, ExecutorTask] = {}

        def on_event(event: ExecutorEvent, again: dict[str, ExecutorTask] = again) -> None:
            begun[event.key] += event.kind == "started"
            if event.kind == "progress":
                on_progress(event.value)
            elif event.reason:
                on_line(f"{event.key}: {event.reason}")
            if event.kind in TERMINAL_EVENTS:
                ended[event.key] = event
            if event.kind in ("lost", "out_of_memory") and begun[event.key] < ATTEMPTS:
                again[event.key] = replace(known[event.key], alone=event.kind == "out_of_memory")

        executor.submit(list(left.values()), folder, on_event)
        left = again
    return ended


def error_of(event: ExecutorEvent) -> VolbenchError | None:
    """The error that the last event of a task tells of; None if the task was done.

    One of volbench's own is of its class again, with its exit code.

    >>> type(error_of(ExecutorEvent("a", "failed", reason="no", error_type="DataError"))).__name__
    'DataError'
    >>> str(error_of(ExecutorEvent("a", "lost", reason="its node is gone")))
    'its node is gone'
    """
    if event.kind == "done":
        return None
    if event.kind == "preempted":
        return PreemptedError("stopped; rerun the same command to resume")
    kind = getattr(errors, event.error_type, None)
    if event.kind == "failed" and isinstance(kind, type) and issubclass(kind, VolbenchError):
        return kind(event.reason)
    hint = "out of memory: " if event.kind == "out_of_memory" else ""
    return ExecutorError(f"{hint}{event.reason}")
