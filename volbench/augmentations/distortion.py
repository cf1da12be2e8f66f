"""Optical and grid distortion: two warps that leave the centre of a slice where it is.

Both are defined as in albumentations (Buslaev et al., 2020, doi:10.3390/info11020125), but for the
centre: there a grid distortion starts at the upper left corner, so that it also shifts the middle.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def optical_distortion(
    positions: Float[Tensor, "batch height width 2"],
    strength: Float[Tensor, " batch"],
    *,
    height: int,
    width: int,
) -> Float[Tensor, "batch height width 2"]:
    r"""Move positions along the radius, as a lens does.

    .. math:: p' = p\,(1 + k r^2 + k r^4)

    A positive :math:`k` reads farther out, which shows more of the slice in its corners (a barrel);
    a negative one makes a cushion.

    Args:
        positions: In pixels from the centre.
        strength: :math:`k`, with the radius r in sides: 0.5 in the middle of an edge.
        height: Rows of the slice that is read, in pixels.
        width: Its columns.
    """
    x, y = positions.unbind(-1)
    square = (x / width).square() + (y / height).square()
    factor = strength[:, None, None] * (square + square.square())
    return positions + positions * factor[..., None]


def grid_distortion(
    positions: Float[Tensor, "batch height width 2"],
    stretch: Float[Tensor, "batch 2 cells"],
    *,
    height: int,
    width: int,
) -> Float[Tensor, "batch height width 2"]:
    """Stretch the columns, and the rows, of a grid each by its own factor.

    Args:
        positions: In pixels from the centre.
        stretch: By how much the cells are read longer, along x and along y: 0.02 is 2 %.
        height: Rows of the slice that is read, in pixels.
        width: Its columns.
    """
    axes = zip(positions.unbind(-1), stretch.unbind(1), (width, height), strict=True)
    return torch.stack([_stretched(along, factors, side) for along, factors, side in axes], dim=-1)


def _stretched(
    along: Float[Tensor, "batch height width"], factors: Float[Tensor, "batch cells"], side: int
) -> Float[Tensor, "batch height width"]:
    """Add, for every cell, how much of it lies between centre and position, times its factor."""
    cells = factors.shape[1]
    moved = along
    for number, factor in enumerate(factors.unbind(1)):
        first, last = ((edge / cells - 0.5) * side for edge in (number, number + 1))
        centre = min(max(0.0, first), last)
        moved = moved + factor[:, None, None] * (along.clamp(first, last) - centre)
    return moved
