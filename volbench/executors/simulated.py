"""A simulated cluster: threads as nodes that do tasks in milliseconds, die, stall and come back.

So what schedules hundreds of thousands of folds can be measured and tested on one machine. A node
that dies leaves its attempt behind without a word; one that stalls says nothing for a while and
then goes on to its end, when another has its task already.
"""

import queue
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from volbench.executors.worker import call_task
from volbench.interfaces import Executor, ExecutorEvent, ExecutorTask, TaskContext


class NodeDiedError(BaseException):
    """The node is gone: nothing after this is done, nothing is written."""


@dataclass
class Fate(TaskContext):
    """What happens to one attempt at a task; the task lives through it by `live`.

    Attributes:
        dies, stalls: Whether the node does, in the middle of the task.
        stall_s: How long it is silent.
        seconds: How long the task takes.
    """

    dies: bool
    stalls: bool
    stall_s: float
    seconds: float
    log: Path | None = None

    def live(self) -> None:
        """Spend the task's time.

        Raises:
            NodeDiedError: the node is gone.
        """
        time.sleep(self.seconds)
        if self.dies:
            raise NodeDiedError
        if self.stalls:
            time.sleep(self.stall_s)

    def report(self, value: Mapping[str, Any]) -> None:
        """Nothing: a simulated task has no epochs."""

    @property
    def should_stop(self) -> bool:
        """Nobody asks."""
        return False


@dataclass
class Counts:
    """What happened: attempts begun, nodes that died, nodes that stalled."""

    begun: int = 0
    died: int = 0
    stalled: int = 0
    attempts: Counter[str] = field(default_factory=Counter)


class Simulated(Executor):
    """Runs tasks in threads, which stand for nodes.

    A task whose node died or fell silent is begun again on another node, as cluster managers do.

    Args:
        nodes: How many tasks run at a time.
        seconds: How long a task takes.
        die, stall: Share of attempts in which the node dies or stalls.
        stall_s: How long a stalled node is silent.
        seed: Of what happens.
    """

    restarts = True

    def __init__(
        self,
        *,
        nodes: int = 8,
        seconds: float = 0.002,
        die: float = 0.0,
        stall: float = 0.0,
        stall_s: float = 0.5,
        seed: int = 0,
    ) -> None:
        self.nodes, self.seconds = nodes, seconds
        self.die, self.stall, self.stall_s = die, stall, stall_s
        self.counts = Counts()
        self._random = random.Random(seed)
        self._guard = threading.Lock()

    def describe(self, tasks: Sequence[ExecutorTask], folder: Path) -> str:
        """Tell how many tasks on how many nodes."""
        return f"{len(tasks)} tasks on {self.nodes} simulated nodes"

    def submit(
        self,
        tasks: Sequence[ExecutorTask],
        folder: Path,
        on_event: Callable[[ExecutorEvent], None],
    ) -> None:
        """Run tasks until each has ended, whatever becomes of nodes."""
        waiting: queue.SimpleQueue[ExecutorTask | None] = queue.SimpleQueue()
        events: queue.SimpleQueue[ExecutorEvent] = queue.SimpleQueue()
        for task in tasks:
            waiting.put(task)
        threads = [
            threading.Thread(target=self._serve, args=(waiting, events), daemon=True)
            for _ in range(self.nodes)
        ]
        for thread in threads:
            thread.start()
        open_ = {task.key for task in tasks}
        while open_:
            event = events.get()
            if event.key not in open_:
                continue
            if event.kind == "done" or (event.kind == "failed" and not _elsewhere(event)):
                open_.discard(event.key)
            if not _elsewhere(event):
                on_event(event)
        for _ in threads:
            waiting.put(None)
        for thread in threads:
            thread.join()

    def _serve(
        self,
        waiting: "queue.SimpleQueue[ExecutorTask | None]",
        events: "queue.SimpleQueue[ExecutorEvent]",
    ) -> None:
        while (task := waiting.get()) is not None:
            fate = self._draw(task)
            events.put(ExecutorEvent(task.key, "started"))
            if fate.stalls:  # the manager gives the silent node up
                waiting.put(task)
            try:
                events.put(call_task(task, fate))
            except NodeDiedError:
                waiting.put(task)

    def _draw(self, task: ExecutorTask) -> Fate:
        with self._guard:
            first = self.counts.attempts[task.key] == 0
            dies = first and self._random.random() < self.die
            stalls = first and not dies and self._random.random() < self.stall
            self.counts.attempts[task.key] += 1
            self.counts.begun += 1
            self.counts.died += dies
            self.counts.stalled += stalls
        return Fate(dies, stalls, self.stall_s, self.seconds)


def _elsewhere(event: ExecutorEvent) -> bool:
    return event.kind == "failed" and event.error_type in ("LeaseLostError", "LeaseHeldError")
