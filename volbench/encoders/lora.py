"""LoRA: low-rank adaptation of linear layers (Hu et al., 2021, arXiv:2106.09685)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize

from volbench.errors import SpecError


class LowRank(nn.Module):
    r"""A weight plus a trained product of rank $r$: $W + \frac{\alpha}{r} B A$.

    It is a parametrisation of the weight rather than a layer of its own, so that code that reads
    ``layer.weight`` instead of calling the layer, as fused attention does, is adapted too.

    Args:
        weight: $W$, of shape (out, in); it stays as it is.
        rank: $r$.
        alpha: $\alpha$.
    """

    def __init__(self, weight: Float[Tensor, "out in"], *, rank: int, alpha: float) -> None:
        super().__init__()
        self.scale = alpha / rank
        self.down = nn.Parameter(torch.empty(rank, weight.shape[1]))  # A
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank))  # B: no change at first
        nn.init.kaiming_uniform_(self.down, a=5**0.5)

    def forward(self, weight: Float[Tensor, "out in"]) -> Float[Tensor, "out in"]:
        """Return the adapted weight."""
        return weight + self.scale * (self.up @ self.down)


def add_lora(module: nn.Module, *, rank: int = 8, alpha: float = 16.0) -> int:
    """Freeze a module and adapt each of its linear layers.

    Args:
        module: Changed in place.
        rank: Rank of the change.
        alpha: The change is scaled by ``alpha / rank``.

    Returns:
        How many parameters are trained: the sum over layers of rank × (in + out).

    Raises:
        SpecError: a value is out of range, or the module has no linear layer.
    """
    if rank < 1:
        raise SpecError(f"lora: rank must be at least 1, but got {rank=}")
    if not alpha > 0:
        raise SpecError(f"lora: alpha must be more than 0, but got {alpha=}")
    module.requires_grad_(False)
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    if not layers:
        raise SpecError(
            "adapt=lora needs linear layers, and the encoder has none; train it whole, or freeze it"
        )
    for layer in layers:
        adapter = LowRank(layer.weight, rank=rank, alpha=alpha)
        parametrize.register_parametrization(layer, "weight", adapter, unsafe=True)
    return sum(one.numel() for one in module.parameters() if one.requires_grad)


def merge_lora(module: nn.Module) -> None:
    """Put plain linear layers in place of adapted ones, so that nothing of the adaptation is left.

    PyTorch's own way to do so changes the layer's class, and with it every copy of the layer.
    """
    for parent in list(module.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Linear) and parametrize.is_parametrized(layer, "weight"):
                setattr(parent, name, _merged(layer))


def _merged(layer: nn.Linear) -> nn.Linear:
    factory = parametrize.type_before_parametrizations(layer)
    plain: nn.Linear = factory(layer.in_features, layer.out_features, bias=layer.bias is not None)
    plain.weight = nn.Parameter(layer.weight.detach().clone())
    if layer.bias is not None:
        plain.bias = nn.Parameter(layer.bias.detach().clone())
    return plain.train(layer.training)
