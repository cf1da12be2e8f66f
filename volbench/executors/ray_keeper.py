"""Actor on a Ray cluster that owns tasks, so that they outlive the process that submitted them.

A task of Ray ends with its owner. Here the owner is a detached actor, found by name: one for each
folder of tasks. It ends by itself once all tasks have ended and nobody has asked for a while.
"""

import hashlib
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from volbench.errors import VolbenchError
from volbench.executors.mailbox import TaskFolder, do_task
from volbench.interfaces import ExecutorEvent

NAMESPACE = "volbench"
LINGER_S = 600.0
"""Seconds that an actor waits for a process that detached, after the last task has ended."""

Asked: TypeAlias = tuple[str, str, Mapping[str, Any]]
"""Key of a task, its folder, and what Ray shall reserve for it."""


class Keeper:
    """Starts tasks and remembers how they ended; lives in a process of its own on the cluster.

    Args:
        linger_s: Seconds without tasks and questions after which it ends.
    """

    def __init__(self, linger_s: float = LINGER_S) -> None:
        import ray

        self._ray = ray
        self._running: dict[str, Any] = {}
        self._ended: dict[str, Mapping[str, Any]] = {}
        self._linger_s = linger_s
        self._asked = time.monotonic()
        self._guard = threading.Lock()
        threading.Thread(target=self._end_when_alone, daemon=True).start()

    def running(self) -> list[str]:
        """Keys of tasks that have not ended."""
        with self._guard:
            self._look(0)
            return list(self._running)

    def start(self, tasks: Sequence[Asked]) -> None:
        """Start tasks, unless they run."""
        with self._guard:
            for key, path, reserved in tasks:
                if key not in self._running:
                    self._ended.pop(key, None)
                    remote = self._ray.remote(**reserved)(work)
                    self._running[key] = remote.options(name=key).remote(path)

    def outcomes(
        self, keys: Collection[str], wait_s: float
    ) -> tuple[dict[str, Mapping[str, Any]], list[str]]:
        """Last events of those tasks that ended, and keys that this actor does not know.

        Waits a moment for the next one to end.
        """
        with self._guard:
            self._look(wait_s)
            ended = {key: self._ended[key] for key in keys if key in self._ended}
            unknown = [key for key in keys if key not in ended and key not in self._running]
            return ended, unknown

    def cancel(self, keys: Collection[str]) -> None:
        """End tasks."""
        with self._guard:
            for key in set(keys) & self._running.keys():
                self._ray.cancel(self._running[key], force=True)

    def _look(self, wait_s: float) -> None:
        self._asked = time.monotonic()
        if not self._running:
            return
        keys = {reference: key for key, reference in self._running.items()}
        ended, _ = self._ray.wait(list(keys), num_returns=1, timeout=wait_s)
        ended, _ = self._ray.wait(list(keys), num_returns=len(keys), timeout=0)
        for reference in ended:
            key = keys[reference]
            self._ended[key] = vars(_outcome(self._ray, key, reference))
            del self._running[key]

    def _end_when_alone(self) -> None:
        while True:
            time.sleep(min(5.0, self._linger_s))
            with self._guard:
                asked = self._asked
                self._look(0)
                self._asked = asked
                silent_s = time.monotonic() - asked
                if not self._running and silent_s > self._linger_s:
                    itself = self._ray.get_runtime_context().current_actor
                    self._ray.kill(itself, no_restart=True)


def work(path: str) -> Mapping[str, Any]:
    """What Ray calls on a node."""
    try:
        return vars(do_task(Path(path)))
    except VolbenchError as error:  # nothing could even be begun: no shared folder, say
        kind = type(error).__name__
        key = TaskFolder(Path(path)).key
        return vars(ExecutorEvent(key, "failed", reason=str(error), error_type=kind))


def find_or_start(ray: Any, folder: Path, *, linger_s: float = LINGER_S) -> Any:
    """The actor of a folder of tasks; started where there is none."""
    name = f"volbench-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"
    here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
        ray.get_runtime_context().get_node_id(), soft=True
    )
    return (
        ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Keeper)
        .options(
            name=name,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            scheduling_strategy=here,
        )
        .remote(linger_s)
    )


def _outcome(ray: Any, key: str, reference: Any) -> ExecutorEvent:
    try:
        return ExecutorEvent(**ray.get(reference))
    except ray.exceptions.OutOfMemoryError as error:
        return ExecutorEvent(key, "out_of_memory", reason=_line(error))
    except ray.exceptions.RayError as error:
        return ExecutorEvent(key, "lost", reason=_line(error))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
