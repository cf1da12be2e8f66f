"""Grad-CAM of any encoder: where in each slice the evidence for a class lies (arXiv:1610.02391).

Selvaraju et al. (2017). The last spatial feature map is found by watching the encoder at work, so
that it need not be named: the last module whose output still has rows and columns.
"""

from collections.abc import Callable
from contextlib import ExitStack

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from volbench.training.classifier import Classifier, SliceIndex
from volbench.types import Volume

Maps = Float[np.ndarray, "slice row column"]


def grad_cam(
    network: Classifier, volume: Volume, *, of: int, slices: SliceIndex | None = None
) -> Maps | None:
    r"""Map the evidence for a class over the slices of one volume.

    $$L = \operatorname{ReLU} \Bigl( \sum_k \alpha_k A^k \Bigr), \quad
    \alpha_k = \frac{1}{Z} \sum_{d,i,j} \frac{\partial y}{\partial A^k_{dij}}$$

    The weights $\alpha_k$ are one mean over the whole volume, since it has one logit $y$. Of two
    classes there is one logit in all; the first class is its negative.

    Args:
        network: In evaluation mode.
        volume: One case, nothing padded.
        of: Index of the class.
        slices: Of a network without an aggregator, the slices whose logits are summed.

    Returns:
        From 0 to 1, the largest value over all slices being 1; None for an encoder without a
        spatial map, or one whose map has lost the slices.
    """
    seen: list[Tensor] = []
    with ExitStack() as stack, torch.enable_grad():
        for module in network.encoder.modules():
            handle = module.register_forward_hook(_keep_maps(seen))
            stack.callback(handle.remove)
        # The input asks for a gradient, so that frozen weights do not cut the graph.
        logits = network(volume.detach().clone().requires_grad_(), None, slices).logits.sum(dim=0)
        if not seen:
            return None
        score = logits[of] if len(logits) > 1 else logits[0] * (1 if of else -1)
        (gradient,) = torch.autograd.grad(score, seen[-1], allow_unused=True)
    return None if gradient is None else _weighted(seen[-1], gradient, volume.shape[2])


def _keep_maps(seen: list[Tensor]) -> Callable[[nn.Module, object, object], None]:
    def hook(module: nn.Module, inputs: object, output: object) -> None:
        if not isinstance(output, Tensor) or output.ndim not in (4, 5):
            return
        if min(output.shape[-2:]) > 1 and output.requires_grad:
            seen[:] = [output]  # the last one is all that is needed

    return hook


def _weighted(maps: Tensor, gradient: Tensor, slices: int) -> Maps | None:
    """Lay a map out as [slice, channel, row, column], whichever way the encoder has it."""
    with torch.no_grad():
        if maps.ndim == 5:
            maps, gradient = (each[0].transpose(0, 1) for each in (maps, gradient))
        if len(maps) != slices:
            return None
        weight = gradient.mean(dim=(0, 2, 3), keepdim=True)
        heat = (weight * maps).sum(dim=1).relu()
        return np.asarray((heat / heat.max().clamp_min(1e-12)).float().cpu().numpy())
