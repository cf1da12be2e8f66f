"""Tasks on this machine: in this process, or side by side in processes of their own.

Source: volbench itself; `multiprocessing` starts the processes.
"""

import os
import shlex
import sys
from collections import deque
from collections.abc import Callable, Collection, Sequence
from multiprocessing.connection import wait
from pathlib import Path

from volbench.errors import SpecError
from volbench.executors.pool import ANY_DEVICE, Worker, Workers, dealt_out
from volbench.executors.worker import CallbackContext, Stopping, call_task
from volbench.interfaces import Executor, ExecutorEvent, ExecutorTask

OnEvent = Callable[[ExecutorEvent], None]


class Local(Executor):
    """Runs tasks on this machine. Source: volbench.

    Args:
        jobs: Tasks at a time; a single one runs in this process.
        gpus: Devices to share out, as ``CUDA_VISIBLE_DEVICES`` names them; each process sees one.
            Empty: every process sees what this one sees.

    >>> Local(jobs=2).describe([], Path()).splitlines()[-1]
    '0 tasks here, 0 at a time'
    """

    def __init__(self, *, jobs: int = 1, gpus: tuple[int | str, ...] = ()) -> None:
        self._gpus = [str(gpu) for gpu in gpus]
        self._in_this_process = jobs == 1 and not gpus
        self.resize(jobs)
        self._owns_workers = True
        self._workers = Workers()
        self._stopping = Stopping()
        self._cancelled: set[str] = set()

    def sharing(self, workers: Workers) -> "Local":
        """Use processes that outlive this executor; returns itself."""
        self._owns_workers, self._workers = False, workers
        return self

    def apart(self) -> "Local":
        """Run a single task in a process of its own, too, so that others may join it."""
        self._in_this_process = False
        return self

    def resize(self, jobs: int) -> None:
        """Run so many tasks at a time; those beyond that are not interrupted.

        Called by ``on_event``, it counts from the next task that begins.

        Raises:
            SpecError: there would be none.
        """
        if jobs < 1:
            raise SpecError(f"local(jobs={jobs}): at least one task runs at a time; use jobs=1")
        self.devices = dealt_out(jobs, self._gpus)

    def submit(self, tasks: Sequence[ExecutorTask], folder: Path, on_event: OnEvent) -> None:
        """Run tasks until each has ended."""
        with self._stopping.on_signals():
            if self._in_this_process:
                self._run_here(tasks, on_event)
            else:
                self._run_side_by_side(tasks, on_event)

    def describe(self, tasks: Sequence[ExecutorTask], folder: Path) -> str:
        """Tell how many tasks run at a time, and where."""
        at_once = min(len(tasks), len(self.devices))
        seen = sorted({device for device in self.devices if device != ANY_DEVICE})
        where = f" on CUDA devices {', '.join(seen)}" if seen else ""
        command = shlex.join([os.path.basename(sys.argv[0]), *sys.argv[1:]])
        return f"{command}\n{len(tasks)} tasks here, {at_once} at a time{where}"

    def cancel(self, keys: Collection[str]) -> None:
        """Begin none of these; what runs goes on."""
        self._cancelled |= set(keys)

    def close(self) -> None:
        """End the processes that this executor started."""
        if self._owns_workers:
            self._workers.stop()

    def _run_here(self, tasks: Sequence[ExecutorTask], on_event: OnEvent) -> None:
        for task in tasks:
            if (event := self._refusal(task)) is None:
                on_event(ExecutorEvent(task.key, "started"))

                def report(value: object, key: str = task.key) -> None:
                    on_event(ExecutorEvent(key, "progress", value))  # type: ignore[arg-type]

                event = call_task(task, CallbackContext(report, self._stopping))
            on_event(event)

    def _run_side_by_side(self, tasks: Sequence[ExecutorTask], on_event: OnEvent) -> None:
        # Those that need their device for themselves come last, when the others leave it free.
        waiting = deque(sorted(tasks, key=lambda task: task.alone))
        taken: list[Worker] = []
        asked = False
        try:
            while True:
                taken += self._more(taken, waiting)
                self._give(taken, waiting, on_event)
                if not (busy := {w.connection: w for w in taken if w.task is not None}):
                    return
                for connection in wait(list(busy), timeout=0.5):
                    worker = busy[connection]  # type: ignore[index]
                    event = worker.receive()
                    if event.kind == "out_of_memory":
                        self._workers.leave_out(worker, taken)
                        self.devices = [other.device for other in taken][: len(self.devices)]
                    on_event(event)
                if self._stopping.is_asked and not asked:
                    asked = True
                    for worker in busy.values():
                        worker.ask_to_stop()
        finally:
            self._workers.give_back(taken)

    def _more(self, taken: Sequence[Worker], waiting: Collection[ExecutorTask]) -> list[Worker]:
        """Workers for tasks that wait, where more may run than there are processes."""
        busy = sum(worker.task is not None for worker in taken)
        wanted = min(len(self.devices), busy + len(waiting))
        return self._workers.take(self.devices[len(taken) : wanted])

    def _give(
        self, workers: Sequence[Worker], waiting: deque[ExecutorTask], on_event: OnEvent
    ) -> None:
        for worker in workers[: len(self.devices)]:
            while worker.task is None and waiting:
                if (event := self._refusal(waiting[0])) is not None:
                    waiting.popleft()
                    on_event(event)
                elif _fits(waiting[0], worker, workers):
                    if waiting[0].alone:
                        self._workers.free(worker.device, workers)
                    on_event(ExecutorEvent(waiting[0].key, "started"))
                    worker.give(waiting.popleft())
                else:
                    break

    def _refusal(self, task: ExecutorTask) -> ExecutorEvent | None:
        """The event of a task that is not to begin any more."""
        if task.key in self._cancelled:
            return ExecutorEvent(task.key, "lost", reason="cancelled")
        if self._stopping.is_asked:
            return ExecutorEvent(task.key, "preempted", reason="asked to stop before it began")
        return None


def _fits(task: ExecutorTask, worker: Worker, workers: Sequence[Worker]) -> bool:
    """Whether a device has room: none beside a task that runs alone."""
    others = [other.task for other in workers if other.device == worker.device and other.task]
    return not (others and (task.alone or any(other.alone for other in others)))
