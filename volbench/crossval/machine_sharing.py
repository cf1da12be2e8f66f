"""Allocation of devices, threads and parallel folds on one machine."""

import math
import os
from dataclasses import dataclass, replace

import torch

from volbench._utils.cpu import available_cores
from volbench.augmentations.chain import build_augmentation
from volbench.crossval.plan import Plan
from volbench.interfaces import Encoder
from volbench.plugins.registry import encoders
from volbench.profiling.conv_trace import convolutions_of
from volbench.training.compile import Compile, choose_compile
from volbench.training.cuda_graphs import Graphs, choose_graphs
from volbench.training.device_and_precision import Compute, choose_compute, name_gpus

CONTEXT_MB = 700.0
"""Of a GPU, taken by each process: libraries, kernels, graphs."""

SAVED_COPIES = 2
"""Maps kept for backward for each convolution: what it made, and that normalised."""

MEMORY_SHARE = 0.8
"""Of a GPU's free memory that all folds may take together."""

HOST_PIXELS = 6e6
"""Pixels of a batch whose training step keeps an H200 busy as long as the host prepares the next.

A step of rMC5 takes 1.6 ns per pixel there; drawing, augmenting and launching a batch takes 10 ms.
"""

LEAST_BUSY = 0.01
"""A GPU that seems idle has not been seen for long enough."""

CORES_PER_FOLD = 3
"""Ten folds of the demo took 18.6 s five at a time, 19.6 s all at once: an H200 with 16 cores."""


@dataclass(frozen=True)
class FoldLoad:
    """What a fold takes of a GPU.

    Attributes:
        memory_mb: Peak, the process included.
        busy: Share of its time in which it keeps the GPU computing.
    """

    memory_mb: float
    busy: float


@dataclass(frozen=True)
class Sharing:
    """The decision.

    Attributes:
        compute: Of a fold, on the first device.
        jobs: Folds at a time, on all devices together, to begin with.
        gpus: Devices that folds are dealt out to; empty on a CPU.
        most: Folds at a time that the cores can feed: what ``jobs`` may grow to.
        free_mb: Memory of the first GPU before any fold.
    """

    compute: Compute
    jobs: int
    gpus: tuple[int, ...] = ()
    most: int = 1
    free_mb: float = 0.0

    @property
    def may_grow(self) -> bool:
        """Whether a measurement could allow more folds at a time."""
        return self.most > self.jobs

    @property
    def pinned(self) -> tuple[str, ...]:
        """What ``CUDA_VISIBLE_DEVICES`` is in processes that see one GPU each; empty for one."""
        if len(self.gpus) < 2:
            return ()
        seen = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        names = [name.strip() for name in seen.split(",")]
        return tuple(names[gpu] if seen else str(gpu) for gpu in self.gpus)

    def device(self, number: int) -> str:
        """Device of the process of that number; a single one keeps the name that it was given."""
        if len(self.gpus) < 2:
            return self.compute.device
        return f"cuda:{self.gpus[number % len(self.gpus)]}"


def share_machine(
    plan: Plan,
    *,
    device: str = "auto",
    jobs: int | None = None,
    compiled: Compile = "auto",
    graphs: Graphs = "auto",
    tasks: int | None = None,
) -> Sharing:
    """Decide by the experiment and the machine, never by the folds left to do.

    On a CPU there is a fold per core: sums over threads differ in the last digits, so threads
    must not depend on what a run that is continued has left, nor on what others have left free of a
    GPU. On GPUs as many folds run side by side as their memory holds, cores feed, and as it takes
    to keep the device busy: by an estimate from shapes, until the first folds are measured
    (`volbench.crossval.measured_jobs`).

    Args:
        plan: What one training takes is read off it.
        device: As ``--device`` names it.
        jobs: Trainings at a time where somebody has said so.
        compiled: Whether encoders are compiled.
        graphs: Whether steps are recorded.
        tasks: Most trainings that could run at a time; by default the folds of the plan.

    Raises:
        UsageError: the device is not there, or lacks what was asked for.
    """
    precision = plan.experiment.precision
    whole = choose_compute(device, precision, jobs=1)
    tasks = tasks or len(plan.split.folds)
    gpus = () if whole.device == "cpu" else name_gpus(device)
    if gpus and jobs is None:
        room = _room_on_gpus(plan, whole, len(gpus), tasks)
    else:
        at_once = jobs or min(available_cores(), tasks)
        room = _Room(at_once, at_once, at_once)
    pays = choose_compile(compiled, whole.device)
    chosen = choose_compute(device, precision, jobs=room.sharing_cores, compiled=pays)
    recorded = choose_graphs(graphs, chosen.device, compiled=pays)
    return Sharing(replace(chosen, graphs=recorded), room.jobs, gpus, room.most, room.free_mb)


@dataclass(frozen=True)
class _Room:
    """Trainings at a time: those that threads are counted for, to begin with, and at most."""

    sharing_cores: int
    jobs: int
    most: int
    free_mb: float = 0.0


def _room_on_gpus(plan: Plan, compute: Compute, gpus: int, tasks: int) -> _Room:
    load = estimate_load(plan, compute)
    free, total = torch.cuda.mem_get_info(torch.device(compute.device))
    alone, now = (
        min(tasks, gpus * folds_per_gpu(load, memory / 2**20, gpus)) for memory in (total, free)
    )
    most = now
    if not _transforms_on_cores(plan):  # which take all of them already
        most = max(now, min(tasks, gpus * _fed_by_cores(gpus)))
    return _Room(alone, now, most, free / 2**20)


def folds_per_gpu(load: FoldLoad, free_mb: float, gpus: int) -> int:
    """Folds that one of so many GPUs takes side by side; at least one."""
    by_memory = int(MEMORY_SHARE * free_mb / load.memory_mb)
    by_work = int(1 / max(load.busy, LEAST_BUSY))
    return max(1, min(by_memory, by_work, _fed_by_cores(gpus)))


def estimate_load(plan: Plan, compute: Compute) -> FoldLoad:
    """Estimate from shapes what a fold takes, before any has run."""
    return FoldLoad(fold_mb(plan, compute), 1 / (1 + HOST_PIXELS / _batch_pixels(plan)))


def fold_mb(plan: Plan, compute: Compute) -> float:
    """Estimate the GPU memory of a fold: maps kept for backward, the data set, the process."""
    prepared, batch = plan.prepared, plan.experiment.recipe.training.batch_size
    longest = max(case.slices for case in prepared.cases)
    channels, *plane = prepared.voxels.shape[1:]
    with torch.random.fork_rng(devices=[]):
        encoder = encoders.build(plan.experiment.encoder, Encoder, channels)
    layers = convolutions_of(encoder, (batch, channels, longest, *plane))
    size = 2 if compute.precision == "bfloat16" else 4
    maps = sum(SAVED_COPIES * size * math.prod(layer.output) for layer in layers)
    volume = 4 * batch * channels * longest * plane[0] * plane[1]
    return float(maps + 4 * volume + prepared.voxels.nbytes) / 2**20 + CONTEXT_MB


def _fed_by_cores(gpus: int) -> int:
    return max(1, available_cores() // (CORES_PER_FOLD * gpus))


def _transforms_on_cores(plan: Plan) -> bool:
    return build_augmentation(plan.experiment.recipe.training.augmentation).subject is not None


def _batch_pixels(plan: Plan) -> float:
    cases = plan.prepared.cases
    height, width = plan.prepared.voxels.shape[2:]
    slices = sum(case.slices for case in cases) / len(cases)
    return float(plan.experiment.recipe.training.batch_size * slices * height * width)
