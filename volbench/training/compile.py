"""Compilation of the network by torch.compile: when it pays, once per process."""

import shutil
from typing import Literal, TypeAlias

import torch

from volbench.errors import UsageError
from volbench.training.classifier import Classifier

Compile: TypeAlias = Literal["auto", "on", "off"]

BACKEND = "inductor"


def choose_compile(wanted: Compile, device: str) -> bool:
    """Resolve ``auto``, which compiles nowhere.

    Measured on an H200, rMC5 at 8 x 24 slices of 256 x 256, forward and backward: compiled, the
    plain network takes 24.8 ms after half a minute of compiling; volbench's, recorded, 17.5 ms. On
    a CPU compiled steps take as long as others, after a minute.

    Args:
        wanted: What was asked for.
        device: Where the network runs.

    Raises:
        UsageError: ``on``, but the compiler lacks what it needs.
    """
    kind = torch.device(device).type
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
