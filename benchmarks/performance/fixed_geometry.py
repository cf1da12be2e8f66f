"""One turn and one scale without chance, by volbench, TorchIO and MONAI: all must do them alike.

What they should leave of two smooth spots follows from the spots' formula.
"""

import math
from collections.abc import Callable

import torch
from same_geometry import Transform, through_torchio
from torch import Tensor

from volbench.augmentations.geometry import move, pixel_positions, sample, undo_similarity

FIXED_DEG, FIXED_SCALE = 5.0, 1.1
WIDTH = 0.1
"""Standard deviation of the spots, in sides."""


def by_each() -> dict[str, Callable[[], Transform]]:
    """Turned by 5 degrees from x towards y and magnified by 1.1, by each; built when called."""
    return {"volbench": _volbench, "TorchIO": _torchio, "MONAI": _monai}


def blobs(slices: int, size: int, *, traced_back: bool) -> Tensor:
    """Two smooth spots by their formula, as they are or as the geometry should leave them."""
    along = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    y, x = torch.meshgrid(along / size, along / size, indexing="ij")
    if traced_back:
        cosine, sine = (f(math.radians(FIXED_DEG)) for f in (math.cos, math.sin))
        x, y = (cosine * x + sine * y) / FIXED_SCALE, (cosine * y - sine * x) / FIXED_SCALE
    spots = ((0.16, -0.09, 1.0), (-0.19, 0.14, 0.5))
    plane = sum(
        height * torch.exp(-((x - right) ** 2 + (y - down) ** 2) / (2 * WIDTH**2))
        for right, down, height in spots
    )
    return plane.float().expand(slices, -1, -1).contiguous()


def tolerance(size: int) -> float:
    """What linear interpolation may be off by, an eighth of the second derivatives, and rounding.

    The second derivatives of a Gaussian of height 1.5 are at most 1.5 / width² along each axis.
    """
    return 2 * 1.5 / 8 / (WIDTH * size) ** 2 + 1e-4


def _volbench() -> Transform:
    amounts = {
        "magnification": torch.tensor([FIXED_SCALE]),
        "angle": torch.tensor([math.radians(FIXED_DEG)]),
        "right": torch.zeros(1),
        "down": torch.zeros(1),
    }
    back = undo_similarity(**amounts)

    def transform(volume: Tensor) -> Tensor:
        positions = pixel_positions(*volume.shape[1:], device=volume.device)
        return sample(volume[None, None], move(positions, back))[0, 0]

    return transform


def _torchio() -> Transform:
    import torchio as tio

    affine = tio.Affine(
        scales=(FIXED_SCALE, FIXED_SCALE, 1), degrees=(0, 0, FIXED_DEG), translation=(0, 0, 0)
    )
    return lambda volume: through_torchio(affine, volume)


def _monai() -> Transform:
    from monai.data import set_track_meta
    from monai.transforms import Affine

    set_track_meta(False)
    # MONAI scales the grid that is read, so that 1 / 1.1 magnifies by 1.1.
    return Affine(
        rotate_params=math.radians(FIXED_DEG),
        scale_params=(1 / FIXED_SCALE, 1 / FIXED_SCALE),
        padding_mode="border",
        image_only=True,
    )
