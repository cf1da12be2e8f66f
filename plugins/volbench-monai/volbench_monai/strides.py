"""How many slices become one token: where a network strides, along slices too or in-plane only."""

from collections.abc import Sequence

from torch import nn


def set_slice_stride(reductions: Sequence[nn.Module], slice_stride: int | None) -> int:
    """Let only the last of a network's reductions stride along slices; return slices per token.

    Thick slices are as far apart as many pixels, so the plane is reduced first, until its spacing
    is that of the slices (as nnU-Net does; Isensee et al., 2021, doi:10.1038/s41592-020-01008-z).

    Args:
        reductions: Parts of a network that each halve all three axes, in their order.
        slice_stride: A power of 2, or None to leave the network as it is.

    Raises:
        ValueError: the network cannot have this stride.
    """
    possible = [1 << number for number in range(len(reductions) + 1)]
    if slice_stride is None:
        return possible[-1]
    if slice_stride not in possible:
        choices = ", ".join(map(str, possible))
        raise ValueError(f"slice_stride must be one of {choices}, but got {slice_stride=}")
    in_plane_only = len(reductions) - possible.index(slice_stride)
    for part in reductions[:in_plane_only]:
        for layer in part.modules():
            _keep_slices(layer)
    return slice_stride


def triple(value: int | str | tuple[int, ...]) -> tuple[int, int, int]:
    """Along slices, rows and columns: what a layer is told as one number or as three."""
    depth, row, column = (value, value, value) if isinstance(value, int) else map(int, value)
    return depth, row, column


def _keep_slices(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv3d):
        layer.stride = (1, *triple(layer.stride)[1:])
    elif isinstance(layer, nn.AvgPool3d | nn.MaxPool3d):
        # A window of several slices, moved by one, would blur them.
        layer.kernel_size = (1, *triple(layer.kernel_size)[1:])
        layer.stride = (1, *triple(layer.stride)[1:])
        layer.padding = (0, *triple(layer.padding)[1:])
