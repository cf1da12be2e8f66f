"""The least time a training step can take: each convolution bound by arithmetic or by memory.

Williams et al., "Roofline", CACM 2009, doi:10.1145/1498765.1498785, layer by layer.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch

from volbench.profiling.conv_trace import Convolution
from volbench.training.device_and_precision import Compute

TRIES = 5


@dataclass(frozen=True)
class Peak:
    """What a device can do, in its best case.

    Attributes:
        flop_per_s: Floating-point operations of a large product of matrices.
        bytes_per_s: Read and written by a large copy.
        number_bytes: Of one number of a feature map.
    """

    flop_per_s: float
    bytes_per_s: float
    number_bytes: int


def least_seconds(convolutions: Sequence[Convolution], peak: Peak) -> float:
    """Sum over the layers what forward and backward must take.

    Each convolution reads and writes its maps and weights once; normalisation and activations are
    free, as if fused into them.
    """
    return sum(
        layer.passes
        * max(layer.flop / peak.flop_per_s, layer.numbers * peak.number_bytes / peak.bytes_per_s)
        for layer in convolutions
    )


def training_flop(convolutions: Sequence[Convolution]) -> int:
    """Floating-point operations of the convolutions of a training step."""
    return sum(layer.passes * layer.flop for layer in convolutions)


@lru_cache(maxsize=4)
def measure_peak(compute: Compute) -> Peak:
    """Measure the device as a fold uses it, with its threads and in its precision; a second."""
    device = torch.device(compute.device)
    large = device.type == "cuda"
    kind = torch.bfloat16 if compute.precision == "bfloat16" else torch.float32
    side, numbers = (8192, 2**28) if large else (1024, 2**24)
    left, right = (torch.randn(side, side, device=device, dtype=kind) for _ in range(2))
    product = torch.empty(side, side, device=device, dtype=kind)
    source = torch.zeros(numbers, device=device)
    target = torch.empty_like(source)
    arithmetic = _best(lambda: torch.mm(left, right, out=product), device)
    copying = _best(lambda: target.copy_(source), device)
    return Peak(
        flop_per_s=2 * side**3 / arithmetic,
        bytes_per_s=2 * source.nbytes / copying,
        number_bytes=product.element_size(),
    )


def _best(work: Callable[[], object], device: torch.device) -> float:
    """Shortest of a few tries, in seconds."""
    work()
    tries = []
    for _ in range(TRIES):
        _wait(device)
        start = time.perf_counter()
        work()
        _wait(device)
        tries.append(time.perf_counter() - start)
    return min(tries)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
