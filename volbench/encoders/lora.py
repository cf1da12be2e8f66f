"""LoRA: low-rank adaptation of linear layers and convolutions (Hu et al., 2021, arXiv:2106.09685).

Of a convolution, the kernel is taken as a matrix with a row per output channel, as PEFT takes it:
A is then a convolution to as many channels as the rank, and B one of 1×1 after it.
"""

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
        weight: $W$, of shape (out, in), or (out, in, …) of a convolution; it stays as it is.
        rank: $r$.
        alpha: $\alpha$.
    """

    def __init__(self, weight: Float[Tensor, "out *in"], *, rank: int, alpha: float) -> None:
        super().__init__()
        self.scale = alpha / rank
        self.down = nn.Parameter(torch.empty(rank, weight[0].numel()))  # A
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank))  # B: no change at first
        nn.init.kaiming_uniform_(self.down, a=5**0.5)

    def forward(self, weight: Float[Tensor, "out *in"]) -> Float[Tensor, "out *in"]:
        """Return the adapted weight."""
        return weight + self.scale * (self.up @ self.down).view_as(weight)


def add_lora(
    module: nn.Module, *, rank: int = 8, alpha: float = 16.0, conv: bool | None = None
) -> int:
    """Freeze a module and adapt each of its linear layers, or convolutions.

    Args:
        module: Changed in place.
        rank: Rank of the change.
        alpha: The change is scaled by ``alpha / rank``.
        conv: Whether to adapt convolutions as well, those that are not grouped (a depthwise one
            has fewer weights than its change would have); None: only where there is no linear
            layer.

    Returns:
        How many parameters are trained: the sum over layers of rank × (in + out), where a
        convolution has as many in as channels in times pixels of its kernel.

    Raises:
        SpecError: a value is out of range, or the module has no such layer.

    >>> add_lora(nn.Conv2d(16, 32, kernel_size=3), rank=2)
    352
    """
    if rank < 1:
        raise SpecError(f"lora: rank must be at least 1, but got {rank=}")
    if not alpha > 0:
        raise SpecError(f"lora: alpha must be more than 0, but got {alpha=}")
    module.requires_grad_(False)
    linear = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    convolutions = [layer for layer in module.modules() if _mixes_channels(layer)]
    wanted = not linear if conv is None else conv
    layers = [*linear, *(convolutions if wanted else ())]
    if not layers:
        without = "linear layers, and the encoder has none" + (
            "; adapt its convolutions by lora(conv=true)"
            if convolutions
            else " and no convolution without groups; train it whole, or freeze it"
        )
        raise SpecError(f"adapt=lora needs {without}")
    for layer in layers:
        weight = layer.weight
        assert isinstance(weight, Tensor)
        adapter = LowRank(weight, rank=rank, alpha=alpha)
        parametrize.register_parametrization(layer, "weight", adapter, unsafe=True)
    return sum(one.numel() for one in module.parameters() if one.requires_grad)


def _mixes_channels(layer: nn.Module) -> bool:
    """Whether a layer is a convolution that is not grouped, PyTorch's own or one like it."""
    kernel = layer._parameters.get("weight")
    return kernel is not None and kernel.ndim > 2 and getattr(layer, "groups", 1) == 1


def merge_lora(module: nn.Module) -> None:
    """Put plain layers in place of adapted ones, so that nothing of the adaptation is left.

    PyTorch's own way to do so changes the layer's class, and with it every copy of the layer.
    """
    for parent in list(module.modules()):
        for name, layer in list(parent.named_children()):
            if parametrize.is_parametrized(layer, "weight"):
                chain = layer.parametrizations.weight  # type: ignore[union-attr]
                if isinstance(chain[0], LowRank):  # type: ignore[index]
                    setattr(parent, name, _merged(layer))


def _merged(layer: nn.Module) -> nn.Module:
    """A layer of the class that this one had, with all that it holds but the adaptation."""
    kind = parametrize.type_before_parametrizations(layer)
    plain: nn.Module = object.__new__(kind)
    plain.__dict__.update(layer.__dict__)
    inside = layer._modules.items()
    plain._modules = {name: one for name, one in inside if name != "parametrizations"}
    weight = layer.weight
    assert isinstance(weight, Tensor)
    plain._parameters = {"weight": nn.Parameter(weight.detach().clone()), **layer._parameters}
    return plain
