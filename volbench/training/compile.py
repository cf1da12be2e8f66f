"""Compilation of the network by torch.compile: when it pays, once per process."""

import shutil
from typing import Literal, TypeAlias

import torch

from volbench.errors import UsageError
from volbench.training.classifier import Classifier

Compile: TypeAlias = Literal["auto", "on", "off"]

BACKEND = "inductor"

WORTH_PIXELS = 2e11
"""Pixels that one process must train on before compiling for a GPU has paid for itself.

By estimate, not measured: a step saves 0.5 ns per pixel, and compiling takes two minutes.
"""


def choose_compile(wanted: Compile, device: str, *, pixels: float) -> bool:
    """Resolve ``auto``: deterministic, so that a run that is continued agrees with its beginning.

    On a CPU that is never: compiled steps took as long as others, and compiling takes a minute.

    Args:
        wanted: What was asked for.
        device: Where the network runs.
        pixels: All that one process trains on: slices times their pixels, over all epochs.

    Raises:
        UsageError: ``on``, but the compiler lacks what it needs.
    """
    kind = torch.device(device).type
    if wanted == "auto":
        return kind == "cuda" and pixels >= WORTH_PIXELS and not _missing(kind)
    if wanted == "on" and (missing := _missing(kind)):
        raise UsageError(f"--compile on: {missing}; install it or use --compile off")
    return wanted == "on"


def _missing(kind: str) -> str | None:
    """Name what the compiler needs and does not find: Triton for a GPU, C++ for a CPU."""
    if kind == "cuda":
        from torch.utils._triton import has_triton

        return None if has_triton() else "Triton is not installed or cannot use this GPU"
    if any(shutil.which(name) for name in ("g++", "clang++", "c++")):
        return None
    return "no C++ compiler is found (g++ or clang++)"


_kept: dict[tuple[object, ...], Classifier] = {}


def compiled(fresh: Classifier, *key: object) -> Classifier:
    """Return this process's compiled network of that key, with the weights of a fresh one.

    Weights are reset in place, so that the next fold meets the network that was compiled for the
    first one. Another key takes the place of the last.

    Args:
        fresh: Newly initialised, on its device.
        key: What makes two networks the same but for their weights.
    """
    network = _kept.get(key)
    if network is None:
        _kept.clear()
        if fresh.head.weight.device.type == "cpu":
            # Each fold has a process of its own already; more would leave locks behind at exit.
            torch._inductor.config.compile_threads = 1
        fresh.encoder.compile(backend=BACKEND)
        _kept[key] = fresh
        return fresh
    network.load_state_dict(fresh.state_dict())
    return network
