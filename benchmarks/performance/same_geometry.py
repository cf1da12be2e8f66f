"""One geometry by volbench, TorchIO and MONAI: turn, shift, scale, bend, mirror; in-plane only.

Turned by up to 5 degrees, shifted by up to 5 %, scaled by up to 10 %, always bent, half of them
mirrored.

Transforms of one volume are built here; the amounts, and the parts that others compose with shading
into whole input pipelines, are kept here too.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from volbench._utils.case_generator import CaseGenerator
from volbench.interfaces import Augmentation
from volbench.plugins.registry import augmentations

ROTATE_DEG, SCALE, SHIFT, BEND = 5.0, 0.1, 0.05, 0.01


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
    return lambda volume: through_torchio(compose, volume)


def torchio_parts(size: int) -> list[Callable[[Any], Any]]:
    """What TorchIO has to compose for planes of so many rows and columns."""
    import torchio as tio

    shift, bend = SHIFT * size, 2 * BEND * size  # in voxels of 1 mm
    return [
        tio.RandomAffine(
            scales=(1 - SCALE, 1 + SCALE, 1 - SCALE, 1 + SCALE, 1, 1),
            degrees=(0, 0, ROTATE_DEG),
            translation=(shift, shift, 0),
        ),
        # It cannot bend all slices alike; this at least moves nothing across slices.
        tio.RandomElasticDeformation(
            num_control_points=(8, 8, 4), max_displacement=(bend, bend, 0), locked_borders=0
        ),
        tio.RandomFlip(axes=(0,), flip_probability=0.5),
    ]


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
        "prob": 1,
        "rotate_range": math.radians(ROTATE_DEG),
        "scale_range": (SCALE, SCALE),
        "translate_range": (SHIFT * size, SHIFT * size),
        "padding_mode": "border",
        "device": torch.device(device),
    }


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
    cached = transforms.Compose(
        [
            transforms.RandAffine(spatial_size=(size, size), cache_grid=True, **plane),
            flip,
            transforms.RandGridDistortion(**bend),
        ]
    )
    solid = transforms.Compose(
        [
            transforms.RandAffine(spatial_size=(size, size, slices), cache_grid=True, **volume),
            transforms.Rand3DElastic(
                sigma_range=(size / 32, size / 25),
                magnitude_range=(50, 100),
                prob=1,
                padding_mode="border",
                device=where,
            ),
            flip,
        ]
    )

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


def through_torchio(transform: Callable[[Tensor], Tensor], volume: Tensor) -> Tensor:
    """TorchIO's axes are channel, width, height, depth; it copies what it is given."""
    return transform(volume.permute(2, 1, 0)[None])[0].permute(2, 1, 0)
