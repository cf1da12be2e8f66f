"""Before the folds start: does this machine compute the network in bfloat16 as it should?"""

import torch

from volbench.crossval.plan import Plan
from volbench.interfaces import Encoder
from volbench.plugins.registry import encoders
from volbench.profiling.conv_trace import convolutions_of
from volbench.training.compute import Compute
from volbench.training.precision_selftest import tell_fault
from volbench.training.tta import build_views


def bfloat16_fault(plan: Plan, compute: Compute) -> str | None:
    """Try the encoder's convolutions on the sizes of the data; tell what is wrong and the way out.

    On a CPU the shortest case is tried, to save time; on a GPU also a batch of the longest ones,
    as some faults are those of large inputs.
    """
    if compute.precision != "bfloat16":
        return None
    experiment, prepared = plan.experiment, plan.prepared
    slices = [case.slices for case in prepared.cases]
    shapes = [(1, min(slices))]
    if compute.device != "cpu":
        shapes.append((experiment.recipe.training.batch_size, max(slices)))
    channels, *plane = prepared.voxels.shape[1:]
    still = build_views(experiment.recipe, experiment.seed).training.eval_view
    with torch.random.fork_rng(devices=[]):
        encoder = encoders.build(experiment.encoder, Encoder, channels)
    for batch, length in shapes:
        # A view of one number: only its shape counts.
        volume = still(torch.zeros(()).expand(1, channels, length, *plane))
        # Shapes alone tell what a CPU calls; on a GPU an encoder may call other convolutions.
        device = "meta" if compute.device == "cpu" else compute.device
        layers = convolutions_of(encoder, (batch, *volume.shape[1:]), device=device)
        if (fault := tell_fault(layers, compute)) is not None:
            return (
                f"bfloat16 goes wrong on this machine: {fault}; "
                "use --precision float32, or larger slices"
            )
    return None
