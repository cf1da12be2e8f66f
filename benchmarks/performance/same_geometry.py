"""One geometry by volbench, TorchIO and MONAI: turn, shift, scale, bend, mirror; in-plane only.

Turned by up to 5 degrees, shifted by up to 5 %, scaled by up to 10 %, always bent, half of them
mirrored. ``fixed`` is one turn and one scale without chance, which all must do alike.

Transforms of one volume are built here; the amounts, and the parts that others compose with shading
into whole input pipelines, are kept here too.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from volbench.augmentations.geometry import move, pixel_positions, sample, undo_similarity
from volbench.interfaces import Augmentation
from volbench.randomness import CaseGenerator
from volbench.registry import augmentations

ROTATE_DEG, SCALE, SHIFT, BEND = 5.0, 0.1, 0.05, 0.01
FIXED_DEG, FIXED_SCALE = 5.0, 1.1


def volbench_spec(shading: str = "shade_p=0") -> str:
    """The geometry as volbench's augmentation: each of its steps is always taken, no other ever.

    Args:
        shading: Its options of brightness and contrast; none as it is.
    """
    return (
        f"rectal(p=1, rotate_deg={ROTATE_DEG}, scale={SCALE}, shift={SHIFT}, move_p=1, "
        f"elastic={BEND}, elastic_corners=0, elastic_p=1, distortion_p=0, crop=1, flip=0.5, "
        f"clahe_p=0, {shading}, blur_p=0)"
    )


SAME = volbench_spec()
VOLBENCH = {
    "volbench": SAME,
    "volbench affine": "affine",
    "volbench rectal, geometry": "rectal(clahe_p=0, shade_p=0, blur_p=0)",
    "volbench rectal, whole": "rectal",
}
NOT_THE_SAME = (
    "volbench affine: no bending, but brightness and contrast; rectal, geometry: the paper's "
    "distortions and crop as often as it says; rectal, whole: also equalisation, shading, blur",
    "volbench and MONAI 2D do less than the others: one in-plane grid for all slices and one "
    "interpolation; TorchIO and MONAI 3D compute a displacement for every voxel",
)

Transform = Callable[[Tensor], Tensor]
"""From [slice, height, width] to the same; draws anew at every call."""


def by_volbench(spec: str, device: str = "cpu") -> Transform:
    """One of ``VOLBENCH`` or any other augmentation."""
    augmentation = augmentations.build(spec, Augmentation)
    seeds = iter(range(10**9))

    def transform(volume: Tensor) -> Tensor:
        mask = torch.ones(1, len(volume), dtype=torch.bool, device=device)
        return augmentation(volume[None, None], mask, CaseGenerator([next(seeds)], device))[0, 0]

    return transform


def by_torchio(size: int) -> Transform:
    """TorchIO's affine, elastic and flip, on the CPU.

    Raises:
        ModuleNotFoundError: TorchIO is not installed.
    """
    import torchio as tio

    compose = tio.Compose(torchio_parts(size))
    return lambda volume: _through_torchio(compose, volume)


def torchio_parts(size: int) -> list[Callable[[Any], Any]]:
    """What TorchIO has to compose for planes of so many rows and columns."""
    import torchio as tio

    shift, bend = SHIFT * size, 2 * BEND * size  # in voxels of 1 mm
    return [
        tio.RandomAffine(
            scales=(1 - SCALE, 1 + SCALE, 1 - SCALE, 1 + SCALE, 1, 1),
            degrees=(0, 0, ROTATE_DEG), translation=(shift, shift, 0),
        ),
        # It cannot bend all slices alike; this at least moves nothing across slices.
        tio.RandomElasticDeformation(
            num_control_points=(8, 8, 4), max_displacement=(bend, bend, 0), locked_borders=0
        ),
        tio.RandomFlip(axes=(0,), flip_probability=0.5),
    ]  # fmt: skip


MONAI_FLIP = {"prob": 0.5, "spatial_axis": 1}
"""Options of MONAI's RandFlip, and of its form for dictionaries."""


def monai_elastic(size: int, device: str) -> dict[str, Any]:
    """Options of MONAI's Rand2DElastic, and of its form for dictionaries, for such planes.

    Elastic and affine are one transform and one interpolation there; mirroring is a flip.
    """
    return {
        "spacing": (size / 8, size / 8),  # between control points
        "magnitude_range": (0, 2 * BEND * size),
        **_monai_plane(size, device),
    }


def _monai_plane(size: int, device: str) -> dict[str, Any]:
    return {
        "prob": 1, "rotate_range": math.radians(ROTATE_DEG), "scale_range": (SCALE, SCALE),
        "translate_range": (SHIFT * size, SHIFT * size), "padding_mode": "border",
        "device": torch.device(device),
    }  # fmt: skip


def by_monai(size: int, slices: int, device: str = "cpu") -> dict[str, Transform]:
    """MONAI's ways: slices as channels of a 2D transform, lazily, and 3D.

    Raises:
        ModuleNotFoundError: MONAI is not installed.
    """
    from monai import transforms
    from monai.data import MetaTensor, set_track_meta

    where = torch.device(device)
    plane = _monai_plane(size, device)
    volume = plane | {
        "rotate_range": (0, 0, plane["rotate_range"]),
        "scale_range": (*plane["scale_range"], 0),
        "translate_range": (*plane["translate_range"], 0),
    }
    bend = {"num_cells": 8, "prob": 1, "distort_limit": BEND, "device": where}
    flip = transforms.RandFlip(**MONAI_FLIP)
    elastic = transforms.Compose([transforms.Rand2DElastic(**monai_elastic(size, device)), flip])
    # A grid distortion is not lazy: what is pending is resampled before it. And what is pending is
    # a volume's affine map: as 2D transforms these two fail wherever no flip is drawn (1.6.1).
    lazy = transforms.Compose([transforms.RandAffine(**volume), flip], lazy=True)
    distortion = transforms.RandGridDistortion(**bend)
    cached = transforms.Compose([
        transforms.RandAffine(spatial_size=(size, size), cache_grid=True, **plane),
        flip,
        transforms.RandGridDistortion(**bend),
    ])  # fmt: skip
    solid = transforms.Compose([
        transforms.RandAffine(spatial_size=(size, size, slices), cache_grid=True, **volume),
        transforms.Rand3DElastic(
            sigma_range=(size / 32, size / 25), magnitude_range=(50, 100), prob=1,
            padding_mode="border", device=where,
        ),
        flip,
    ])  # fmt: skip

    def untracked(transform: Callable[[Tensor], Tensor]) -> Transform:
        def call(drawn: Tensor) -> Tensor:
            set_track_meta(False)
            return transform(drawn)

        return call

    def lazily(drawn: Tensor) -> Tensor:
        set_track_meta(True)  # what is pending is kept in the metadata
        moved = lazy(MetaTensor(drawn.permute(1, 2, 0)[None])).as_tensor()
        set_track_meta(False)
        return distortion(moved[0].permute(2, 0, 1))

    return {
        "MONAI 2D elastic": untracked(elastic),
        "MONAI 2D affine, grid distortion": untracked(cached),
        "MONAI 3D lazy affine, 2D grid distortion": lazily,
        "MONAI 3D affine, elastic": untracked(
            lambda drawn: solid(drawn.permute(1, 2, 0)[None])[0].permute(2, 0, 1)
        ),
    }


def fixed() -> dict[str, Callable[[], Transform]]:
    """Turned by 5 degrees from x towards y and magnified by 1.1, by each; built when called."""
    return {"volbench": _fixed_volbench, "TorchIO": _fixed_torchio, "MONAI": _fixed_monai}


def blobs(slices: int, size: int, *, traced_back: bool) -> Tensor:
    """Two smooth spots by their formula, as they are or as ``fixed`` should leave them."""
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


WIDTH = 0.1
"""Standard deviation of the spots, in sides."""


def tolerance(size: int) -> float:
    """What linear interpolation may be off by, an eighth of the second derivatives, and rounding.

    The second derivatives of a Gaussian of height 1.5 are at most 1.5 / width² along each axis.
    """
    return 2 * 1.5 / 8 / (WIDTH * size) ** 2 + 1e-4


def _fixed_volbench() -> Transform:
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


def _fixed_torchio() -> Transform:
    import torchio as tio

    affine = tio.Affine(
        scales=(FIXED_SCALE, FIXED_SCALE, 1), degrees=(0, 0, FIXED_DEG), translation=(0, 0, 0)
    )
    return lambda volume: _through_torchio(affine, volume)


def _fixed_monai() -> Transform:
    from monai.data import set_track_meta
    from monai.transforms import Affine

    set_track_meta(False)
    # MONAI scales the grid that is read, so that 1 / 1.1 magnifies by 1.1.
    return Affine(
        rotate_params=math.radians(FIXED_DEG), scale_params=(1 / FIXED_SCALE, 1 / FIXED_SCALE),
        padding_mode="border", image_only=True,
    )  # fmt: skip


def _through_torchio(transform: Callable[[Tensor], Tensor], volume: Tensor) -> Tensor:
    """TorchIO's axes are channel, width, height, depth; it copies what it is given."""
    return transform(volume.permute(2, 1, 0)[None])[0].permute(2, 1, 0)
