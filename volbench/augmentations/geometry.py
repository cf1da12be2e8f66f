"""In-plane geometry: affine maps composed into one sampling grid, and one resampling with it.

Positions are in pixels from the centre of a slice, (x, y) with x along width and y along height.
A warp is a map from where a pixel of the result lies to where it is read in the input. So the first
map to be applied to a position is the last thing that happens to the image.

A nonlinear warp needs nothing new: a displacement field is an offset to the positions, added before
or after an affine map, or between two.

Products are written as sums of elementwise ones: a matrix product would be rounded to bfloat16
under autocast, or to TF32, which displaces the border of a slice by a fraction of a pixel.
"""

from typing import TypeAlias

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from volbench.types import Volume

# A volume that was read at positions of its own, in another in-plane size perhaps.
Warped: TypeAlias = Float[Tensor, "batch channel slice rows columns"]


def scaling(x: Float[Tensor, " batch"], y: Float[Tensor, " batch"]) -> Float[Tensor, "batch 3 3"]:
    """Multiply positions by factors; a negative one mirrors."""
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return _matrix([[x, zero, zero], [zero, y, zero], [zero, zero, one]])


def rotation(angle: Float[Tensor, " batch"]) -> Float[Tensor, "batch 3 3"]:
    """Turn positions about the centre by an angle in radians, from x towards y."""
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    sine, cosine = angle.sin(), angle.cos()
    return _matrix([[cosine, -sine, zero], [sine, cosine, zero], [zero, zero, one]])


def translation(
    x: Float[Tensor, " batch"], y: Float[Tensor, " batch"]
) -> Float[Tensor, "batch 3 3"]:
    """Add offsets, in pixels, to positions."""
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return _matrix([[one, zero, x], [zero, one, y], [zero, zero, one]])


def undo_similarity(
    *,
    magnification: Float[Tensor, " batch"],
    angle: Float[Tensor, " batch"],
    right: Float[Tensor, " batch"],
    down: Float[Tensor, " batch"],
) -> Float[Tensor, "batch 3 3"]:
    """Trace an image back that was magnified, turned about its centre and shifted, in this order.

    Args:
        magnification: Factor; above 1 the image became larger.
        angle: In radians, from x towards y.
        right: In pixels.
        down: In pixels.
    """
    shrink = 1 / magnification
    return compose(translation(-right, -down), rotation(-angle), scaling(shrink, shrink))


def compose(*maps: Float[Tensor, "batch 3 3"]) -> Float[Tensor, "batch 3 3"]:
    """Return one map that applies ``maps`` from left to right."""
    composed, *rest = maps
    for following in rest:
        composed = (following[:, :, :, None] * composed[:, None, :, :]).sum(dim=2)
    return composed


def pixel_positions(
    height: int, width: int, *, device: torch.device
) -> Float[Tensor, "1 height width 2"]:
    """Return where each pixel lies: the grid that changes nothing."""
    y = torch.arange(height, device=device, dtype=torch.float32) - (height - 1) / 2
    x = torch.arange(width, device=device, dtype=torch.float32) - (width - 1) / 2
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None]


def move(
    positions: Float[Tensor, "#batch height width 2"], affine: Float[Tensor, "batch 3 3"]
) -> Float[Tensor, "batch height width 2"]:
    """Apply an affine map to positions."""
    x, y = positions.unbind(-1)
    entry = affine[:, :2, :, None, None].unbind(2)  # each [batch, 2, 1, 1]
    moved = entry[0] * x[:, None] + entry[1] * y[:, None] + entry[2]
    return rearrange(moved, "b xy h w -> b h w xy")


def sample(volume: Volume, positions: Float[Tensor, "batch rows columns 2"]) -> Warped:
    """Read a volume at ``positions``, bilinearly, all its slices alike.

    Beyond the border lies the nearest pixel of the border, whose intensity is plausible whatever
    the normalisation. Volumes in float16 or bfloat16 are read in float32 and rounded once.
    """
    channels = volume.shape[1]
    height, width = volume.shape[3:]
    dtype = torch.promote_types(volume.dtype, torch.float32)
    x, y = positions.to(dtype).unbind(-1)
    planes = F.grid_sample(
        rearrange(volume, "b c s h w -> b (c s) h w").to(dtype),
        torch.stack([x * (2 / width), y * (2 / height)], dim=-1),
        padding_mode="border",
        align_corners=False,
    )
    return rearrange(planes, "b (c s) h w -> b c s h w", c=channels).to(volume.dtype)


def _matrix(rows: list[list[Float[Tensor, " batch"]]]) -> Float[Tensor, "batch 3 3"]:
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
