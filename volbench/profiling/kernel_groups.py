"""What a GPU does in a training step, by kind of kernel, and how far that is from its floor.

Kernels are named by PyTorch's profiler; a group is found by parts of their names.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from volbench.profiling.conv_trace import Convolution
from volbench.profiling.roofline import Peak, least_seconds

CONVOLUTION, NORMALISATION, PRODUCT, OPTIMISER, COPY, ELEMENTWISE, GAP = (
    "convolution",
    "normalisation",
    "matrix product",
    "optimiser",
    "copy",
    "elementwise",
    "launch gaps",
)
PATTERNS: tuple[tuple[str, str], ...] = (
    (OPTIMISER, r"multi_tensor|fused_adam|fused_sgd|lpnorm"),
    (NORMALISATION, r"_moments|_normalise|_gradient_sums|_finish_gradients|_input_gradient|norm"),
    (CONVOLUTION, r"conv|fprop|dgrad|wgrad|implicit|cudnn.*engines|init_device_workspace"),
    (PRODUCT, r"gemm|gemv|cublas|splitk|nvjet|cutlass"),
    (COPY, r"memcpy|memset|copy|nchw|nhwc|index|gather|scatter|cat"),
)
SHOWN = 5
NORM_PASSES = 10
"""Times that normalising, residual and ReLU read or write a map at least, both ways together."""


@dataclass(frozen=True)
class Kernel:
    """One kernel that ran; times in seconds."""

    name: str
    start: float
    seconds: float


def group_of(name: str) -> str:
    """Tell the group of a kernel.

    >>> group_of("sm90_xmma_wgrad_implicit_gemm_bf16bf16")
    'convolution'
    >>> group_of("void at::native::vectorized_elementwise_kernel<8, CUDAFunctor_add>")
    'elementwise'
    """
    for group, pattern in PATTERNS:
        if re.search(pattern, name, re.IGNORECASE):
            return group
    return ELEMENTWISE


def add_up(kernels: Iterable[Kernel], *, steps: int) -> dict[str, float]:
    """Seconds a step of each group, the costliest first; ``launch gaps`` is when nothing ran."""
    seconds: dict[str, float] = {}
    gaps, end = 0.0, None
    for kernel in sorted(kernels, key=lambda kernel: kernel.start):
        group = group_of(kernel.name)
        seconds[group] = seconds.get(group, 0.0) + kernel.seconds / steps
        if end is not None:
            gaps += max(0.0, kernel.start - end)
        end = max(end or 0.0, kernel.start + kernel.seconds)
    seconds[GAP] = gaps / steps
    return dict(sorted(seconds.items(), key=lambda pair: -pair[1]))


def least_by_group(convolutions: Sequence[Convolution], peak: Peak) -> dict[str, float]:
    """Seconds that convolutions and normalisation must take at the device's peaks."""
    numbers = sum(torch.Size(layer.output).numel() for layer in convolutions)
    normalising = NORM_PASSES * numbers * peak.number_bytes / peak.bytes_per_s
    return {CONVOLUTION: least_seconds(convolutions, peak), NORMALISATION: normalising}


def watch_kernels(step: Callable[[], object], *, steps: int) -> list[Kernel]:
    """Run a step so many times on a GPU and list its kernels."""
    from torch.profiler import ProfilerActivity, profile

    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA], acc_events=True) as seen:
        for _ in range(steps):
            step()
        torch.cuda.synchronize()
    return [
        Kernel(event.name, event.time_range.start / 1e6, event.time_range.elapsed_us() / 1e6)
        for event in seen.events() or ()
        if event.device_type.name == "CUDA"
    ]


def shown(groups: Mapping[str, float], least: Mapping[str, float]) -> list[tuple[str, str, str]]:
    """The costliest groups as text: name, milliseconds a step, and times what it must take."""
    costliest = sorted(groups.items(), key=lambda pair: -pair[1])[:SHOWN]
    return [
        (name, f"{1e3 * seconds:.2f}", f"{seconds / least[name]:.1f} x" if name in least else "")
        for name, seconds in costliest
    ]
