"""Tasks on a Ray cluster: workstations, clouds, fractions of a GPU.

Source: https://docs.ray.io (Apache-2.0) places the tasks and runs them again when a node is lost.
"""

import os
import signal
import socket
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from volbench.errors import ExecutorError, SpecError
from volbench.executors.mailbox import Reader, TaskFolder
from volbench.executors.ray_keeper import find_or_start
from volbench.interfaces import TERMINAL_EVENTS, Executor, ExecutorEvent, ExecutorTask

OnEvent = Callable[[ExecutorEvent], None]

CONNECT_S = 10.0
"""Seconds that a head may take to answer."""
OPTIONS = {"CPU": ("cores", "cpus"), "GPU": ("GPUs", "gpus"), "memory": ("GB", "mem_gb")}
"""By Ray's name of a resource, what people call it and which option asks for it."""
INSTALL = "pip install 'volbench[ray]'"


class Ray(Executor):
    """Runs tasks on a Ray cluster. Source: Ray.

    Ctrl-C detaches: the tasks go on, and the same command attaches again; with ``address="local"``
    they end with the command.

    Args:
        address: Address of the head node; ``auto`` finds the one of this machine, ``local`` starts
            one here that ends with the command.
        gpus: GPUs of a task; a fraction lets several share one.
        cpus: Cores of a task.
        mem_gb: Memory that a task reserves; one that ran out is tried again with twice as much.
        retries: How often Ray begins a task again whose node or process is lost.
        poll_s: Seconds between two looks at what the tasks report.

    >>> executor = Ray(address="local", gpus=0.5)
    >>> executor.gpus, executor.detaches
    (0.5, False)
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
        self.detaches = address != "local"
        self._keeper: Any = None

    def submit(self, tasks: Sequence[ExecutorTask], folder: Path, on_event: OnEvent) -> None:
        """Submit what does not run already, then follow all of them."""
        ray = self._connect()
        shortage = self._shortage(ray.nodes())
        folder = folder.resolve()
        self._keeper = find_or_start(ray, folder)
        running = set(ray.get(self._keeper.running.remote()))
        open_ = {task.key: task for task in tasks}
        self._start(ray, [task for task in tasks if task.key not in running], folder)
        for key in open_:
            on_event(ExecutorEvent(key, "waiting", reason=shortage))
        reader = Reader(folder)
        while open_:
            ended, unknown = ray.get(self._keeper.outcomes.remote(list(open_), self.poll_s))
            for key in open_:
                for event in reader.new(key):
                    if event.kind not in TERMINAL_EVENTS:
                        on_event(event)
            for key, event in ended.items():
                del open_[key]
                on_event(ExecutorEvent(**event))
            # The node of the actor is gone, and it begins anew without a memory of its tasks.
            self._start(ray, [open_[key] for key in unknown], folder)
        ray.kill(self._keeper, no_restart=True)
        self._keeper = None

    def describe(self, tasks: Sequence[ExecutorTask], folder: Path) -> str:
        """Tell what would be asked of Ray."""
        asked = ", ".join(f"{key}={value}" for key, value in self._resources(alone=False).items())
        return f"{len(tasks)} tasks on Ray at {self.address}, each with {asked}"

    def cancel(self, keys: Collection[str]) -> None:
        """End tasks of the last submission."""
        if self._keeper is not None:
            _ray().get(self._keeper.cancel.remote(list(keys)))

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
            _require_listener(os.environ.get("RAY_ADDRESS") if address == "auto" else address)
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

    def _shortage(self, nodes: Sequence[Mapping[str, Any]]) -> str:
        """What no node has enough of, in a sentence; empty where some node can run a task.

        Raises:
            ExecutorError: there is too little on this machine, which no other one can join.
        """
        there = [node["Resources"] for node in nodes if node["Alive"]]
        asked = {"CPU": (self.cpus, 1), "GPU": (self.gpus, 1), "memory": (self.mem_gb or 0, 2**30)}
        for name, (amount, unit) in asked.items():
            most = max((node.get(name, 0) / unit for node in there), default=0)
            if amount <= most:
                continue
            what, option = OPTIONS[name]
            reason = f"no node of the Ray cluster has {amount:g} {what} (at most {most:.3g})"
            way_out = f"ask for less: --on 'ray({option}=...)'"
            if self.address == "local":
                raise ExecutorError(f"{reason}; {way_out}")
            return f"{reason}; it starts when one joins, or {way_out}"
        return ""

    def _start(self, ray: Any, tasks: Sequence[ExecutorTask], folder: Path) -> None:
        asked = []
        for task in tasks:
            place = TaskFolder.of(folder, task.key)
            place.write(task)
            reserved = {"max_retries": self.retries, **self._resources(alone=task.alone)}
            asked.append((task.key, str(place.path), reserved))
        if asked:
            ray.get(self._keeper.start.remote(asked))

    def _resources(self, *, alone: bool) -> dict[str, float]:
        reserved = (self.mem_gb or 0) * (2 if alone else 1) * 2**30
        memory = {"memory": reserved} if reserved else {}
        gpus = 1 if alone and 0 < self.gpus < 1 else self.gpus
        return {"num_cpus": self.cpus, "num_gpus": gpus, **memory}


def _require_listener(address: str | None) -> None:
    """Look whether anything listens at ``host:port``: Ray itself tries, and prints, for minutes.

    Raises:
        OSError: nothing does.
    """
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()


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
