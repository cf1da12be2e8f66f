"""Memory of the training process: allocator settings and peak usage."""

import gc
import os
from contextlib import suppress
from pathlib import Path

import torch

from volbench._utils.heap import give_back, glibc

MAPPED_BLOCKS, TRIM = -4, -1
"""M_MMAP_MAX and M_TRIM_THRESHOLD of glibc's malloc.h."""

LARGE_BATCH_PIXELS = 2**20
"""From here on the first maps of a ResNet, eight numbers per pixel, are blocks that glibc maps.

Smaller batches gain nothing, and would pay for it with memory.
"""

CHOSEN_BY_USER = (
    "MALLOC_MMAP_MAX_",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_TRIM_THRESHOLD_",
    "GLIBC_TUNABLES",
)


def keep_freed_memory() -> None:
    """Let this process reuse the memory of one step for the next.

    glibc maps blocks of more than 32 MB anew each time and hands them back when they are freed. So
    the system zeroes every large activation, page by page, in every step. Kept, they cost memory
    instead: a heap has gaps. C libraries other than glibc are left alone, and so is glibc where
    one of ``CHOSEN_BY_USER`` says how it shall allocate.
    """
    libc = glibc()
    if libc and not any(name in os.environ for name in CHOSEN_BY_USER):
        libc.mallopt(MAPPED_BLOCKS, 0)
        libc.mallopt(TRIM, -1)


def peak_memory_mb(device: torch.device) -> float:
    """Most memory since ``forget_peak``: of the GPU, else of this process."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device) / 2**20)
    with suppress(OSError):
        return process_memory_mb("VmHWM")
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def process_memory_mb(which: str) -> float:
    """One of this process's figures on Linux.

    Args:
        which: ``VmHWM`` is the peak; ``RssAnon`` what no file stands behind now.

    Raises:
        OSError: the system does not tell it.
    """
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{which}:"):
            return int(line.split()[1]) / 2**10
    raise OSError(f"this system does not tell a process's {which}")


def forget_peak(device: torch.device) -> None:
    """A process that trains many networks must not tell the largest one's memory for each."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    give_back()  # what the last network left
    with suppress(OSError):  # not on Linux: the peak of the whole process has to do
        Path("/proc/self/clear_refs").write_text("5")


def give_back_to_gpu(device: torch.device, *, cycles: bool = False) -> None:
    """Free what this process no longer uses of a GPU, for other processes to use.

    PyTorch keeps freed memory for itself, that of recorded steps until it has none left.

    Args:
        device: Nothing is done for a CPU.
        cycles: Whether what is no longer used refers to itself, as a training and its recorded
            steps do; only Python's garbage collector frees that.
    """
    if device.type == "cuda" and torch.cuda.memory_reserved(device):
        if cycles:
            gc.collect()
        with suppress(RuntimeError):  # a device that has failed; what it failed at is told already
            torch.cuda.empty_cache()
