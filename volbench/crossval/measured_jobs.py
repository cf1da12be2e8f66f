"""More folds at a time on a GPU, where the first ones leave it idle.

Shapes tell what a fold takes only roughly: of a plugin's network, or of a head on stored tokens,
they tell little. So the first folds are watched: their peak memory as they report it, and the share
of time in which the GPU computes as its driver tells it (NVML). How many folds run at a time
changes no number, only when each of them is trained.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from volbench._utils.text import plural
from volbench.crossval.dispatch import Listener
from volbench.crossval.fold_task import Task
from volbench.crossval.machine_sharing import CONTEXT_MB, FoldLoad, Sharing, folds_per_gpu
from volbench.executors.local import Local
from volbench.runs.folder import FoldResult
from volbench.training.fold_reports import EpochReport, StepReport

logger = logging.getLogger(__name__)

SAMPLES = 10
"""Looks at the GPUs before anything is decided."""

SAMPLE_S = 0.3
"""Seconds between two of them; the driver's own figure is of a sixth of a second to a second."""

RESERVED = 1.25
"""Memory that PyTorch's allocator and graphs hold, over what they have given out at the peak."""

Meter = Callable[[int], float]


def gpu_busy(gpu: int) -> float:
    """Share of the last moment in which a GPU computed for anybody.

    Args:
        gpu: Its number among those that this process sees.

    Raises:
        LookupError: the driver does not tell, or nvidia-ml-py is not installed.
    """
    try:
        from pynvml import NVMLError
    except ModuleNotFoundError as error:
        raise LookupError(str(error)) from error
    try:
        return torch.cuda.utilization(gpu) / 100
    except (NVMLError, RuntimeError) as error:
        raise LookupError(str(error)) from error


class MeasuredJobs:
    """Lets more folds run at a time once the first ones have shown that they leave room.

    Args:
        sharing: What was decided before any fold ran.
        executor: Where folds run; resized once.
        tell: Called with the new number of folds at a time, and why.
        busy: Measures how busy a GPU is.
        clock: In seconds.
    """

    def __init__(
        self,
        sharing: Sharing,
        executor: Local,
        tell: Callable[[int, str], None],
        *,
        busy: Meter = gpu_busy,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sharing = sharing
        self._executor = executor
        self._tell = tell
        self._busy = busy
        self._clock = clock
        self._warm: dict[int, bool] = {}
        self._memory_mb = 0.0
        self._running: list[int] = []
        self._shares: list[float] = []
        self._looked = -SAMPLE_S
        self._decided = not sharing.may_grow

    def listening(self, listener: Listener) -> Listener:
        """A listener that measures before it passes events on."""

        def on_start(task: Task) -> None:
            self._warm[task.fold] = False
            listener.on_start(task)

        def on_epoch(task: Task, report: EpochReport) -> None:
            self._memory_mb = max(self._memory_mb, report.memory_mb or 0.0)
            self._look()
            self._warm[task.fold] = True  # compiled, recorded, and its memory allocated
            listener.on_epoch(task, report)

        def on_step(task: Task, report: StepReport) -> None:
            self._look()
            listener.on_step(task, report)

        def on_end(task: Task, result: FoldResult) -> None:
            self._warm.pop(task.fold, None)
            listener.on_end(task, result)

        def on_wait(task: Task, reason: str) -> None:
            self._warm.pop(task.fold, None)
            listener.on_wait(task, reason)

        if self._decided:
            return listener
        return replace(
            listener,
            on_start=on_start,
            on_epoch=on_epoch,
            on_step=on_step,
            on_end=on_end,
            on_wait=on_wait,
        )

    def _look(self) -> None:
        now = self._clock()
        if len(self._executor.devices) < self._sharing.jobs:  # memory ran out
            self._decided = True
        if self._decided or not (self._warm and all(self._warm.values())):
            return
        if now - self._looked < SAMPLE_S:
            return
        self._looked = now
        gpus = self._sharing.gpus
        try:
            self._shares.append(sum(map(self._busy, gpus)) / len(gpus))
        except LookupError as error:
            logger.debug("folds at a time stay as estimated: %s", error)
            self._decided = True
            return
        self._running.append(len(self._warm))
        if len(self._shares) >= SAMPLES:
            self._decide()

    def _decide(self) -> None:
        self._decided = True
        gpus = len(self._sharing.gpus)
        busy = sum(self._shares) / len(self._shares)
        load = FoldLoad(
            RESERVED * self._memory_mb + CONTEXT_MB,
            busy=busy * gpus * len(self._running) / sum(self._running),
        )
        jobs = gpus * folds_per_gpu(load, self._sharing.free_mb, gpus)
        jobs = min(jobs, self._sharing.most)
        device = "GPU" if gpus == 1 else "GPUs"
        reason = (
            f"{plural(self._sharing.jobs, 'fold')} at a time kept the {device} busy for {busy:.0%} "
            f"of the time and took {load.memory_mb / 1000:.1f} GB each"
        )
        logger.info("%s; %d are allowed, %d run", reason, jobs, self._sharing.jobs)
        if jobs > self._sharing.jobs:
            self._executor.resize(jobs)
            self._tell(jobs, reason)
