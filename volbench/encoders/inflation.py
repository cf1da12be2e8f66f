"""Inflation of 2D kernels to 3D (Carreira and Zisserman, CVPR 2017, arXiv:1705.07750)."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

from jaxtyping import Float
from torch import Tensor, nn

Inflation: TypeAlias = Literal["center", "mean"]


def inflate_kernel(
    kernel: Float[Tensor, "out in height width"], depth: int, how: Inflation
) -> Float[Tensor, "out in depth height width"]:
    r"""Make a 3D kernel that does to a stack of equal slices what the 2D one does to a slice.

    ``center`` puts the kernel in the middle of zeros, so that at first slices do not see one
    another; ``mean`` puts a share of $1/d$ of it at each of the $d$ places.

    >>> import torch
    >>> inflate_kernel(torch.ones(1, 1, 1, 1), 3, "center").flatten().tolist()
    [0.0, 1.0, 0.0]
    """
    if how == "mean":
        return (kernel / depth).unsqueeze(2).repeat(1, 1, depth, 1, 1)
    inflated = kernel.new_zeros(*kernel.shape[:2], depth, *kernel.shape[2:])
    inflated[:, :, depth // 2] = kernel
    return inflated


def inflate_weights(
    state: Mapping[str, Tensor], module: nn.Module, how: Inflation
) -> dict[str, Tensor]:
    """Inflate those 2D kernels that have a 3D one of the same plane in ``module``."""
    inflated = dict(state)
    for name, parameter in module.named_parameters():
        kernel = state.get(name)
        if kernel is None or kernel.ndim != 4 or parameter.ndim != 5:
            continue
        if kernel.shape == (*parameter.shape[:2], *parameter.shape[3:]):
            inflated[name] = inflate_kernel(kernel, parameter.shape[2], how)
    return inflated
