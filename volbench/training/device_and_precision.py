"""Compute settings: device, precision, threads, determinism."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import torch

from volbench._utils.cpu import available_cores
from volbench.errors import UsageError
from volbench.training.memory import forget_peak

Precision: TypeAlias = Literal["float32", "bfloat16"]
Way: TypeAlias = Literal["stacked", "float32"]
"""Another way to compute a convolution; see ``volbench.encoders.resnet.Convolution``."""

KEPT_PRIMITIVES = "256"
"""Layers that oneDNN keeps compiled, with their memory. Packed batches differ in slices, so nearly
every step brings new ones: at its own 1024 a process grew by half a gigabyte in nine epochs. At 64
not all layers of one step were kept, and batches of one size took a fifth more time in bfloat16."""


@dataclass(frozen=True)
class Compute:
    """A device with its settings; plain values, so that it can be sent to another process.

    Attributes:
        threads: CPU threads of one fold. It depends on the machine and the experiment only, never
            on how many folds are left to do: sums over threads differ in the last digits, and where
            one of them decides on which side of a ReLU's zero a value lies, trainings drift apart.
        compiled: Whether the encoder is compiled; that changes last digits, too.
        graphs: Whether training steps are recorded and replayed; the numbers are the same.
        fallbacks: Shapes of weights whose convolutions this device's library gets wrong, each
            with the way they are computed instead.
    """

    device: str
    precision: Precision
    threads: int
    compiled: bool = False
    graphs: bool = field(default=False, repr=False)
    fallbacks: Sequence[Sequence[Any]] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        """Make tuples of lists, which is what JSON keeps."""
        ways = tuple((tuple(shape), way) for shape, way in self.fallbacks)
        object.__setattr__(self, "fallbacks", ways)

    def enter(self) -> torch.device:
        """Apply the settings to this process, forget its peak of memory, return the device."""
        torch.set_num_threads(self.threads)
        if self.device == "cpu":
            torch.use_deterministic_algorithms(True)
            # Read when the first layer runs; a value of the user's own stays.
            os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", KEPT_PRIMITIVES)
            # Filling every new tensor guards against reading it unwritten, and costs 4 % of a step.
            torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        device = torch.device(self.device)
        if device.type == "cuda":
            # The same numbers each time; recorded steps take no longer (R3D on an H200: 29.1 ms).
            torch.backends.cudnn.deterministic = True
        forget_peak(device)
        return device

    def autocast(self) -> torch.autocast:
        """Context in which the network runs."""
        return torch.autocast(
            torch.device(self.device).type,
            dtype=torch.bfloat16,
            enabled=self.precision == "bfloat16",
        )


def choose_compute(device: str, precision: str, *, jobs: int, compiled: bool = False) -> Compute:
    """Resolve ``auto``: CUDA where there is one, bfloat16 where it is fast; jobs share cores.

    Raises:
        UsageError: the device is not there.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda:") and "," in device:
        device = f"cuda:{name_gpus(device)[0]}"
    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise UsageError(
            f"--device {device!r} is not a device; try cpu, cuda, cuda:1 or cuda:0,2"
        ) from None
    if kind not in ("cpu", "cuda"):
        raise UsageError(f"--device {device}: only cpu and cuda are supported")
    if kind == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"--device {device}: this machine has no usable CUDA device; use cpu")
    fast = kind == "cuda" or multiplies_bfloat16()
    coarse = precision == "bfloat16" or (precision == "auto" and fast)
    resolved: Precision = "bfloat16" if coarse else "float32"
    return Compute(device, resolved, _threads(jobs), compiled)


def name_gpus(device: str) -> tuple[int, ...]:
    """Number the GPUs that ``--device`` speaks of: ``cuda`` all that are visible, ``cuda:0,2`` two.

    Raises:
        UsageError: one is not there, or is named twice.
    """
    present = torch.cuda.device_count()
    if device in ("auto", "cuda"):
        return tuple(range(present))
    names = device.removeprefix("cuda:").split(",")
    if not all(name.isdecimal() for name in names):
        raise UsageError(f"--device {device!r} is not a device; try cpu, cuda, cuda:1 or cuda:0,2")
    numbers = tuple(map(int, names))
    if len(set(numbers)) < len(numbers):
        raise UsageError(f"--device {device} names a GPU twice; name each once")
    for number in numbers:
        if number >= present:
            raise UsageError(
                f"--device {device}: this machine has no GPU {number}; it has {present} "
                f"(numbered from 0)"
            )
    return numbers


def multiplies_bfloat16() -> bool:
    """Whether this processor has instructions for it; without them bfloat16 is slower."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def _threads(jobs: int) -> int:
    """Threads of one job: its share of the cores, or fewer if OMP_NUM_THREADS says so."""
    share = max(1, available_cores() // jobs)
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(share, int(asked)) if asked.isdecimal() and int(asked) else share
