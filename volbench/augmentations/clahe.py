"""Contrast-limited adaptive histogram equalisation of slices (Zuiderveld, 1994).

"Contrast limited adaptive histogram equalization", Graphics Gems IV, Academic Press. What is cut
off a histogram is spread over it as OpenCV does; a tile's table counts in full at its centre.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from volbench._utils.device import send
from volbench.augmentations.intensity import Statistic
from volbench.augmentations.parts import parts
from volbench.types import SliceMask, Volume

LEVELS = 256

# With fewer pixels a tile's histogram says nothing, and every tile would be stretched to the full
# range: 8 x 8 tiles of a slice of 32 pixels hold 16 pixels each.
SMALLEST_TILE = 16


def clahe(
    volume: Volume,
    mask: SliceMask,
    *,
    low: Statistic,
    span: Statistic,
    limits: list[float],
    tiles: int = 8,
) -> Volume:
    """Equalise the histogram of every tile of every slice, and interpolate between tiles.

    A histogram has 256 bins over the range of the case, so intensities are rounded to a 255th of
    it, as in an image of eight bits.

    Args:
        volume: Zero where ``mask`` is False, and left so; in float32 or float64.
        mask: Real slices.
        low: Lowest intensity.
        span: What the highest lies above it; where it is zero, nothing changes.
        limits: Per case, the most pixels in a bin, as a multiple of their mean; the rest is spread
            over all bins. Near 0 little changes, 40 is no limit; 0 leaves a case alone.
        tiles: Along each side; fewer where a tile would be smaller than 16 pixels.
    """
    drawn = [case for case, limit in enumerate(limits) if limit]
    if not drawn:
        return volume
    height, width = volume.shape[3:]
    grid = (_tiles(height, tiles), _tiles(width, tiles))
    pixels = math.prod(
        _side(size, count) for size, count in zip((height, width), grid, strict=True)
    )
    # Counts are whole numbers, and so is the limit.
    most = torch.tensor([max(limit * pixels // LEVELS, 1.0) for limit in limits])
    per_slice = (
        low,
        span,
        send(most.to(volume.dtype)[:, None, None, None, None], volume.device),
        mask[:, None, :, None, None].to(volume.dtype),
    )
    shape = (*volume.shape[:3], 1, 1)
    planes = [_planes(tensor, drawn) for tensor in (volume, *(t.expand(shape) for t in per_slice))]
    equalised = torch.cat([_equalised(*part, grid=grid) for part in parts(*planes)])
    changed = equalised.view(len(drawn), *volume.shape[1:])
    if len(drawn) == len(volume):
        return changed
    cases = list(volume)
    for case, one in zip(drawn, changed, strict=True):
        cases[case] = one
    return torch.stack(cases)


def _planes(
    tensor: Float[Tensor, "batch channel slice height width"], drawn: list[int]
) -> Float[Tensor, "plane height width"]:
    """Return all slices of the cases that drew it."""
    cases = tensor if len(drawn) == len(tensor) else torch.stack([tensor[case] for case in drawn])
    return cases.flatten(0, 2)


def _equalised(
    plane: Float[Tensor, "plane height width"],
    low: Float[Tensor, "plane 1 1"],
    span: Float[Tensor, "plane 1 1"],
    most: Float[Tensor, "plane 1 1"],
    real: Float[Tensor, "plane 1 1"],
    *,
    grid: tuple[int, int],
) -> Float[Tensor, "plane height width"]:
    smallest = torch.finfo(span.dtype).tiny
    unit = (plane - low).div_(span.clamp(min=smallest)).clamp_(0, 1)
    # A level is an index: of eight bits, so that whatever the intensity it is none out of range.
    levels = unit.mul_(LEVELS - 1).to(torch.uint8)
    tables = _tables(levels, most, grid)
    # Padding is multiplied by zero and zero is added.
    return _looked_up(levels, tables).mul_(span * real / (LEVELS - 1)).add_(low * real)


def _tables(
    levels: UInt8[Tensor, "plane height width"],
    most: Float[Tensor, "plane 1 1"],
    grid: tuple[int, int],
) -> Float[Tensor, "plane rows columns 256"]:
    """Return what each level becomes in each tile: its rank, in levels, in the clipped histogram.

    Args:
        levels: Of each pixel.
        most: Pixels that a bin keeps.
        grid: Rows and columns of tiles.
    """
    tile = [_side(size, count) for size, count in zip(levels.shape[1:], grid, strict=True)]
    padded = _extended(levels, grid[0] * tile[0], grid[1] * tile[1])
    rows, columns = (
        torch.arange(count, device=levels.device, dtype=torch.int32).repeat_interleave(side)
        for count, side in zip(grid, tile, strict=True)
    )
    bins = _entries(len(levels), rows, columns, grid).add_(padded)
    counts = torch.zeros(
        len(levels) * math.prod(grid) * LEVELS, device=levels.device, dtype=most.dtype
    )
    counts.index_add_(0, bins.flatten(), counts.new_ones(1).expand(bins.numel()))
    counts = counts.view(len(levels), math.prod(grid), LEVELS)

    kept = counts.clamp(max=most)
    excess = math.prod(tile) - kept.sum(dim=-1, keepdim=True)
    share = (excess / LEVELS).floor()
    # What is left after equal shares goes to every step-th level, one pixel each.
    rest = excess - LEVELS * share
    step = (LEVELS / rest.clamp(min=1)).floor()
    level = torch.arange(LEVELS, device=levels.device, dtype=most.dtype)
    spread = torch.minimum((level / step).floor_().add_(1), rest)
    ranks = kept.cumsum(dim=-1).add_(share * (level + 1)).add_(spread)
    return ranks.mul_((LEVELS - 1) / math.prod(tile)).round_().view(-1, *grid, LEVELS)


def _looked_up(
    levels: UInt8[Tensor, "plane height width"], tables: Float[Tensor, "plane rows columns 256"]
) -> Float[Tensor, "plane height width"]:
    """Interpolate, for every pixel, between what the tables of the four tiles around it say."""
    height, width = levels.shape[1:]
    grid = (tables.shape[1], tables.shape[2])
    (row, below), (column, beyond) = (
        _place(size, count, like=tables) for size, count in zip((height, width), grid, strict=True)
    )
    entries = _entries(len(levels), row, column, grid).add_(levels).flatten()
    # The next tile is so many entries farther. After the last one there is none, and zeros that
    # count for nothing stand in for it.
    flat = F.pad(tables.flatten(), (0, LEVELS * (grid[1] + 1)))

    def look_up(tiles_farther: int) -> Float[Tensor, "plane height width"]:
        return flat[LEVELS * tiles_farther :].index_select(0, entries).view(levels.shape)

    above = look_up(0).lerp_(look_up(1), beyond)
    under = look_up(grid[1]).lerp_(look_up(grid[1] + 1), beyond)
    return above.lerp_(under, below[:, None])


def _entries(
    planes: int,
    rows: Int[Tensor, " height"],
    columns: Int[Tensor, " width"],
    grid: tuple[int, int],
) -> Int[Tensor, "plane height width"]:
    """Return where the table begins that belongs to each pixel, all tables one after the other."""
    plane = torch.arange(planes, device=rows.device, dtype=rows.dtype)[:, None, None]
    # In this order only the last sum goes over all pixels.
    return plane * (math.prod(grid) * LEVELS) + (rows[:, None] * grid[1] + columns) * LEVELS


def _place(
    size: int, count: int, *, like: Float[Tensor, "..."]
) -> tuple[Int[Tensor, "{size}"], Float[Tensor, "{size}"]]:
    """Return the tile whose centre lies before each pixel, and how far on to the next it is."""
    pixel = torch.arange(size, device=like.device, dtype=like.dtype)
    place = ((pixel + 0.5) / _side(size, count) - 0.5).clamp_(0, count - 1)
    before = place.floor()
    return before.int(), place - before


def _extended(
    levels: UInt8[Tensor, "plane height width"], rows: int, columns: int
) -> UInt8[Tensor, "plane {rows} {columns}"]:
    """Mirror what lies before the far borders, so that all tiles have the same size."""
    for axis, wanted in ((1, rows), (2, columns)):
        size = levels.shape[axis]
        if wanted > size:
            mirrored = levels.narrow(axis, 2 * size - 1 - wanted, wanted - size).flip(axis)
            levels = torch.cat([levels, mirrored], dim=axis)
    return levels


def _tiles(pixels: int, most: int) -> int:
    return max(1, min(most, pixels // SMALLEST_TILE))


def _side(pixels: int, count: int) -> int:
    """Pixels of a tile; the last one may lack some."""
    return -(-pixels // count)
