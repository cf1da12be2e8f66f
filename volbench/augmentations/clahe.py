"""Contrast-limited adaptive histogram equalisation of slices (Zuiderveld, 1994), by kornia.

"Contrast limited adaptive histogram equalization", Graphics Gems IV, Academic Press.
"""

import torch
from jaxtyping import Float
from kornia.enhance import equalize_clahe
from torch import Tensor

from volbench.augmentations.intensity import Statistic
from volbench.types import SliceMask, Volume

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
        volume: Zero where ``mask`` is False, and left so.
        mask: Real slices.
        low: Lowest intensity.
        span: What the highest lies above it; where it is zero, nothing changes.
        limits: Per case, the most pixels in a bin, as a multiple of their mean; the rest is spread
            over all bins. Near 0 little changes, 40 is no limit; 0 leaves a case alone.
        tiles: Along each side; fewer where a tile would be smaller than 16 pixels.
    """
    if not any(limits):
        return volume
    height, width = volume.shape[3:]
    grid = (_tiles(height, tiles), _tiles(width, tiles))
    cases = [
        _equalised(*case, limit=limit, grid=grid) if limit else case[0]
        for *case, limit in zip(volume, low, span, limits, strict=True)
    ]
    return torch.stack(cases) * mask[:, None, :, None, None]


def _equalised(
    case: Float[Tensor, "channel slice height width"],
    low: Float[Tensor, "channel 1 1 1"],
    span: Float[Tensor, "channel 1 1 1"],
    *,
    limit: float,
    grid: tuple[int, int],
) -> Float[Tensor, "channel slice height width"]:
    unit = ((case - low) / span.clamp(min=torch.finfo(span.dtype).tiny)).clamp(0, 1)
    equalised: Tensor = equalize_clahe(unit.movedim(1, 0), clip_limit=limit, grid_size=grid)
    return low + span * equalised.movedim(0, 1)


def _tiles(pixels: int, most: int) -> int:
    return max(1, min(most, pixels // SMALLEST_TILE))
