"""Compilation of the network by torch.compile: when it pays, once per process."""

import copy
import logging
import shutil
from typing import Literal, TypeAlias

import torch

from volbench._utils.device import send
from volbench.data.loading.loader import Batch
from volbench.errors import UsageError
from volbench.training.classifier import Classifier
from volbench.training.device_and_precision import Compute

logger = logging.getLogger(__name__)

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


def try_compiler(network: Classifier, batch: Batch, compute: Compute) -> None:
    """Compile the encoder for training and for evaluation, or leave it as it is and say why.

    Weights, statistics and generators are afterwards what they were. A network that was tried is
    not tried again.

    Args:
        network: Its encoder is to be compiled; ``compile_refusal`` says why it is not.
        batch: The first of training, so that its graphs serve the training, too.
        compute: How the network runs.
    """
    if network.compile_tried:
        return
    network.compile_tried = True
    before = {name: value.clone() for name, value in network.encoder.state_dict().items()}
    devices = [batch.volume.device] if batch.volume.is_cuda else []
    mask = None if batch.mask is None else send(batch.mask, batch.volume.device)
    try:
        with torch.random.fork_rng(devices=devices), compute.autocast():
            network.train()
            network.encode(batch.volume, batch.mask, mask).float().sum().backward()
            network.eval()
            with torch.no_grad():
                network.encode(batch.volume, batch.mask, mask)
    except Exception as error:  # of any backend, which may be anybody's
        lines = [line for line in map(str.strip, str(error).splitlines()) if line]
        reason = " ".join([f"{type(error).__name__}:", *lines[:2]])
        network.compile_refusal = f"not compiled: {reason}; training without"
        network.encoder = copy.deepcopy(network.encoder)  # a copy is not compiled
        logger.warning("%s", network.compile_refusal)
    finally:
        network.train()
        network.zero_grad(set_to_none=True)
        network.encoder.load_state_dict(before)
