"""Tasks on a Ray cluster: workstations, clouds, fractions of a GPU.

Source: https://docs.ray.io (Apache-2.0) places the tasks and runs them again when a node is lost.
"""

import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from volbench.errors import ExecutorError, SpecError
from volbench.executors.mailbox import Reader, TaskFolder, do_task
from volbench.interfaces import TERMINAL_EVENTS, Executor, ExecutorEvent, ExecutorTask

OnEvent = Callable[[ExecutorEvent], None]

INSTALL = "pip install 'volbench[ray]'"


class Ray(Executor):
    """Runs tasks on a Ray cluster. Source: Ray.

    Args:
        address: Address of the head node; ``auto`` finds the one of this machine, ``local`` starts
            one here that ends with the command.
        gpus: GPUs of a task; a fraction lets several share one.
        cpus: Cores of a task.
        mem_gb: Memory that a task reserves; one that ran out is tried again with twice as much.
        retries: How often Ray begins a task again whose node or process is lost.
        poll_s: Seconds between two looks at what the tasks report.
    """

    restarts: ClassVar[bool] = True

    def __init__(
        self,
        *,
        address: str = "auto",
        gpus: float = 0,
        cpus: float = 1,
        mem_gb: float | None = None,
        retries: int = 3,
        poll_s: float = 1.0,
    ) -> None:
        if gpus < 0 or (gpus > 1 and gpus != int(gpus)):
            raise SpecError(f"ray(gpus={gpus}): give a whole number, or a share below 1")
        self.address, self.gpus, self.cpus = address, gpus, cpus
        self.mem_gb, self.retries, self.poll_s = mem_gb, retries, poll_s
        self._owns_cluster = False
        self._running: dict[str, Any] = {}

    def submit(self, tasks: Sequence[ExecutorTask], folder: Path, on_event: OnEvent) -> None:
        """Submit the tasks and follow them."""
        ray = self._connect()
        folder = folder.resolve()
        self._running = {task.key: self._start(ray, task, folder) for task in tasks}
        keys = {reference: key for key, reference in self._running.items()}
        for key in self._running:
            on_event(ExecutorEvent(key, "waiting"))
        reader = Reader(folder)
        while keys:
            ended, _ = ray.wait(list(keys), num_returns=len(keys), timeout=self.poll_s)
            for key in list(keys.values()):
                for event in reader.new(key):
                    if event.kind not in TERMINAL_EVENTS:
                        on_event(event)
            for reference in ended:
                on_event(_outcome(ray, keys.pop(reference), reference))

    def describe(self, tasks: Sequence[ExecutorTask], folder: Path) -> str:
        """Tell what would be asked of Ray."""
        asked = ", ".join(f"{key}={value}" for key, value in self._resources(alone=False).items())
        return f"{len(tasks)} tasks on Ray at {self.address}, each with {asked}"

    def cancel(self, keys: Collection[str]) -> None:
        """End tasks of the last submission."""
        ray = _ray()
        for key in set(keys) & self._running.keys():
            ray.cancel(self._running[key], force=True)

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        if self._owns_cluster:
            _ray().shutdown()
            self._owns_cluster = False

    def _connect(self) -> Any:
        ray = _ray()
        if ray.is_initialized():
            return ray
        address = None if self.address == "local" else self.address
        try:
            with _sigterm_kept():
                ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise ExecutorError(
                f"no Ray cluster answers at {self.address} ({reason}); start one with `ray start "
                "--head`, or name its head: --on 'ray(address=\"host:6379\")'"
            ) from None
        self._owns_cluster = True
        return ray

    def _start(self, ray: Any, task: ExecutorTask, folder: Path) -> Any:
        place = TaskFolder.of(folder, task.key)
        place.write(task)
        remote = ray.remote(max_retries=self.retries, **self._resources(alone=task.alone))(_work)
        return remote.options(name=task.key).remote(str(place.path))

    def _resources(self, *, alone: bool) -> dict[str, float]:
        reserved = (self.mem_gb or 0) * (2 if alone else 1) * 2**30
        memory = {"memory": reserved} if reserved else {}
        gpus = 1 if alone and 0 < self.gpus < 1 else self.gpus
        return {"num_cpus": self.cpus, "num_gpus": gpus, **memory}


def _work(path: str) -> Mapping[str, Any]:
    """What Ray calls on a node."""
    return vars(do_task(Path(path)))


def _outcome(ray: Any, key: str, reference: Any) -> ExecutorEvent:
    try:
        return ExecutorEvent(**ray.get(reference))
    except ray.exceptions.OutOfMemoryError as error:
        return ExecutorEvent(key, "out_of_memory", reason=_line(error))
    except ray.exceptions.RayError as error:
        return ExecutorEvent(key, "lost", reason=_line(error))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


@contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Put back the handler of SIGTERM, which Ray replaces; a run keeps a checkpoint by it."""
    if (
        threading.current_thread() is not threading.main_thread()
    ):  # only the main thread may set one
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _ray() -> Any:
    try:
        # Ray phones home and prints banners unless it is told not to, before it is imported.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        import ray
    except ImportError:
        raise ExecutorError(f"--on ray needs Ray; install it: {INSTALL}") from None
    return ray
