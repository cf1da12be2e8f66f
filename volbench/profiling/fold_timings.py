"""Timings of a profiled fold: seconds per section, roofline time."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from volbench.profiling.conv_trace import convolutions_of
from volbench.profiling.kernel_groups import least_by_group
from volbench.profiling.roofline import least_seconds, measure_peak, training_flop
from volbench.profiling.section_timer import BACKWARD, EVALUATE, FORWARD, SECTIONS, STEP
from volbench.training.classifier import Classifier
from volbench.training.device_and_precision import Compute
from volbench.types import Volume

OTHER = "other"


@dataclass(frozen=True)
class Timings:
    """Of one fold, or of several added up.

    Attributes:
        seconds: By section; what belongs to none (building, checkpoints) is ``other``.
        volumes: That were trained on, in this sitting.
        peak_memory_mb: Most memory, of the device on a GPU, else of the process.
        least_seconds: Forward and backward of a volume of mean length at the device's peaks.
        gflop: Of the convolutions of that volume, forward and backward.
        tflop_per_s: Measured peak of arithmetic.
        gb_per_s: Measured peak of memory.
        groups: On a GPU, seconds of a training step by group of kernels.
        least_groups: What some of these groups must take at the device's peaks.
    """

    seconds: Mapping[str, float]
    volumes: int
    peak_memory_mb: float
    least_seconds: float
    gflop: float
    tflop_per_s: float
    gb_per_s: float
    groups: Mapping[str, float] = field(default_factory=dict)
    least_groups: Mapping[str, float] = field(default_factory=dict)

    @property
    def training_seconds(self) -> float:
        """All but evaluation."""
        return sum(self.seconds.values()) - self.seconds[EVALUATE]

    @property
    def volumes_per_second(self) -> float:
        """Training cases per second of training."""
        return self.volumes / self.training_seconds

    @property
    def share_of_roofline(self) -> float:
        """Least time of forward and backward, of the time they took.

        Where steps are replayed as graphs, the optimiser's part of them counts as well.
        """
        taken = sum(self.seconds.get(name, 0.0) for name in (FORWARD, BACKWARD, STEP))
        return self.volumes * self.least_seconds / taken


def add(parts: list[Timings]) -> Timings:
    """Sum the folds of a run; peaks are the means, memory is the most."""
    volumes = sum(part.volumes for part in parts)

    def mean(name: str) -> float:
        return float(np.mean([getattr(part, name) for part in parts]))

    def means(name: str) -> dict[str, float]:
        """Mean of each group over the folds that know it."""
        each = [getattr(part, name) for part in parts]
        known = dict.fromkeys(group for groups in each for group in groups)
        return {
            group: float(np.mean([groups[group] for groups in each if group in groups]))
            for group in known
        }

    return Timings(
        seconds={
            name: sum(part.seconds.get(name, 0.0) for part in parts) for name in (*SECTIONS, OTHER)
        },
        volumes=volumes,
        peak_memory_mb=max(part.peak_memory_mb for part in parts),
        least_seconds=mean("least_seconds"),
        gflop=mean("gflop"),
        tflop_per_s=mean("tflop_per_s"),
        gb_per_s=mean("gb_per_s"),
        groups=means("groups"),
        least_groups=means("least_groups"),
    )


def take_timings(
    seconds: Mapping[str, float],
    *,
    elapsed: float,
    volumes: int,
    peak_memory_mb: float,
    model: Classifier,
    volume: Volume,
    compute: Compute,
    groups: Mapping[str, float],
    batch_size: int,
) -> Timings:
    """Put a fold's timings together.

    Args:
        seconds: By section.
        elapsed: Of the whole fold.
        volumes: That were trained on.
        peak_memory_mb: Of the fold.
        model: What was trained.
        volume: One of mean length, as the network sees it.
        compute: How.
        groups: Seconds of a training step by group of kernels; empty on a CPU.
        batch_size: Volumes of such a step.
    """
    peak = measure_peak(compute)
    layers = convolutions_of(model.encoder, tuple(volume.shape))
    least: dict[str, float] = {}
    if groups:
        step = convolutions_of(model.encoder, (batch_size, *volume.shape[1:]))
        least = least_by_group(step, peak)
    return Timings(
        seconds={**seconds, OTHER: max(0.0, elapsed - sum(seconds.values()))},
        volumes=volumes,
        peak_memory_mb=peak_memory_mb,
        least_seconds=least_seconds(layers, peak),
        gflop=training_flop(layers) / 1e9,
        tflop_per_s=peak.flop_per_s / 1e12,
        gb_per_s=peak.bytes_per_s / 1e9,
        groups=groups,
        least_groups=least,
    )
