"""Check before training that convolutions in bfloat16 agree with float32 on this machine."""

from collections.abc import Iterator
from dataclasses import replace

import torch

from volbench.data.cache.packed_voxels import Prepared
from volbench.encoders.building import build_encoder
from volbench.experiment.experiment import Experiment
from volbench.interfaces import Encoder
from volbench.profiling.conv_trace import Convolution, convolutions_of
from volbench.training.device_and_precision import Compute
from volbench.training.memory import give_back_to_gpu
from volbench.training.network import set_ways
from volbench.training.precision_selftest import choose_way, find_faults, tell_fault
from volbench.training.tta import build_views

INSTEAD = {
    "stacked": "it is computed from slices stacked with their neighbours instead",
    "float32": "it is computed in float32 instead",
}


def check_bfloat16(
    experiment: Experiment, prepared: Prepared, compute: Compute
) -> tuple[Compute, list[str]]:
    """Try the encoder's convolutions on the sizes of the data.

    On a CPU the shortest case is tried, to save time; on a GPU also a batch of the longest ones,
    as some faults are those of large inputs.

    Returns:
        How to compute, and a line for each fault: what is wrong, and what is done about it. On a
        GPU, layers of the built-in encoders are computed in another way, each by itself; else the
        line says what the user can do.
    """
    if compute.precision != "bfloat16":
        return compute, []
    with torch.random.fork_rng(devices=[]):
        encoder = build_encoder(experiment.encoder, len(prepared.channels))
    if compute.device == "cpu":
        # Shapes alone tell what a CPU calls.
        for layers in _layers(experiment, prepared, encoder, compute):
            if (fault := tell_fault(layers, compute)) is not None:
                return compute, [_go_on(fault)]
        return compute, []
    try:
        return _fall_back(encoder, list(_layers(experiment, prepared, encoder, compute)), compute)
    finally:
        give_back_to_gpu(torch.device(compute.device))  # this process may train nothing


def _fall_back(
    encoder: Encoder, tried: list[list[Convolution]], compute: Compute
) -> tuple[Compute, list[str]]:
    """Give each layer that goes wrong another way of its own."""
    ways, lines = {}, []
    for fault in find_faults([layer for layers in tried for layer in layers], compute):
        shape = fault.convolution.weight
        if shape in ways:
            continue
        way = choose_way(fault, compute)
        if set_ways(encoder, [(shape, way)]):
            ways[shape] = way
            lines.append(f"bfloat16 goes wrong on this machine: {fault}; {INSTEAD[way]}")
        else:
            lines.append(_go_on(str(fault)))
    return replace(compute, fallbacks=tuple(ways.items())), lines


def _go_on(fault: str) -> str:
    return (
        f"bfloat16 goes wrong on this machine: {fault}; use --precision float32, or larger slices"
    )


def _layers(
    experiment: Experiment, prepared: Prepared, encoder: Encoder, compute: Compute
) -> Iterator[list[Convolution]]:
    slices = [case.slices for case in prepared.cases]
    shapes = [(1, min(slices))]
    if compute.device != "cpu":
        shapes.append((experiment.recipe.training.batch_size, max(slices)))
    channels, *plane = prepared.voxels.shape[1:]
    still = build_views(experiment.recipe, experiment.seed).training.eval_view
    for batch, length in shapes:
        # A view of one number: only its shape counts.
        volume = still(torch.zeros(()).expand(1, channels, length, *plane))
        # On a GPU an encoder may call other convolutions than on a CPU.
        device = "meta" if compute.device == "cpu" else compute.device
        yield convolutions_of(encoder, (batch, *volume.shape[1:]), device=device)
