"""From subject to scan, oriented and slices first, and back."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from volbench.data.formats.oriented_volume import PLANES, OrientedVolume, orient
from volbench.data.subjects.case_subject import CaseSubject, channel_names, mask_name, usable
from volbench.data.subjects.checks import require_contrast, require_placed, require_slices
from volbench.data.subjects.extents import label_extents
from volbench.data.subjects.numbered_slices import SLICE_NUMBERS, nearest_slices
from volbench.errors import DataError
from volbench.types import Scan

if TYPE_CHECKING:
    import torchio


def to_scan(loaded: CaseSubject) -> Scan:
    """Bring a subject to the form that preprocessing takes: oriented, slices first.

    Raises:
        DataError: images that do not share a grid or have no contrast, an empty mask, a slice
            number out of range.
    """
    subject, axis = loaded.subject, loaded.through_plane
    channels = [
        (name, volume)
        for name in loaded.images
        for volume in _oriented(subject[name], loaded.paths[name])
    ]
    first = channels[0][1]
    for _, channel in channels:
        channel.require_grid_of(first, "channel")
        require_contrast(str(channel.path), channel.voxels)
    front = 2 - axis  # voxels are stored slowest axis first, the affine's columns are not
    count = first.voxels.shape[front]
    rows, columns = (other for other in (2, 1, 0) if other != axis)
    spacing = first.spacing_mm[axis], first.spacing_mm[rows], first.spacing_mm[columns]
    region = _region(loaded, first, front)
    return Scan(
        image=np.ascontiguousarray(
            np.stack([np.moveaxis(channel.voxels, front, 0) for _, channel in channels])
        ),
        spacing_mm=spacing,
        mask=None if region is None else np.ascontiguousarray(region > 0),
        representative=_representative(loaded, first, front, count),
        plane=PLANES[axis],
        affine=_index_affine(first, (axis, rows, columns)),
        label_extents_mm={} if region is None else label_extents(region, spacing),
    )


def to_subject(
    scan: Scan, channels: Sequence[str] = (), attributes: Mapping[str, object] | None = None
) -> "torchio.Subject":
    """Make a subject of a scan: width runs along columns, height along rows, depth along slices.

    Args:
        scan: Its affine places the subject; without one it lies at the origin.
        channels: Names of the images; numbered if left out.
        attributes: Further entries; those that a subject cannot have under their name are left out.
    """
    import torch
    import torchio

    affine = scan.affine if scan.affine is not None else affine_of(scan.spacing_mm, scan.plane)
    placed = affine[:, [2, 1, 0, 3]]
    names = channels or channel_names(len(scan.image))
    images: dict[str, object] = {
        name: torchio.ScalarImage(
            tensor=torch.from_numpy(np.ascontiguousarray(channel))[None].permute(0, 3, 2, 1),
            affine=placed,
        )
        for name, channel in zip(names, scan.image, strict=True)
    }
    if scan.mask is not None:
        region = torch.from_numpy(np.ascontiguousarray(scan.mask, np.uint8))
        images[mask_name(names)] = torchio.LabelMap(
            tensor=region[None].permute(0, 3, 2, 1), affine=placed
        )
    return torchio.Subject({**usable(attributes or {}, images), **images})


def loaded_scan(scan: Scan, channels: Sequence[str], fingerprint: str, name: str) -> CaseSubject:
    """Wrap a generated scan, so that transforms can be applied to it."""
    names = tuple(channels or channel_names(len(scan.image)))
    axis = PLANES.index(scan.plane) if scan.plane is not None else 2
    return CaseSubject(
        subject=to_subject(scan, names),
        images=names,
        mask=mask_name(names) if scan.mask is not None else None,
        paths=dict.fromkeys([*names, mask_name(names)], Path(f"case {name}")),
        through_plane=axis,
        representative=scan.representative,
        fingerprint=fingerprint,
    )


def affine_of(
    spacing_mm: tuple[float, float, float], plane: str | None
) -> Float[np.ndarray, "4 4"]:
    """Place slices of a plane at the origin: index (slice, row, column) to mm, in RAS."""
    axis = PLANES.index(plane) if plane is not None else 2
    along = (axis, *(other for other in (2, 1, 0) if other != axis))
    affine = np.eye(4)
    affine[:3, :3] = 0
    for index, (step, lps) in enumerate(zip(spacing_mm, along, strict=True)):
        affine[lps, index] = step if lps == 2 else -step
    return affine


def _oriented(image: "torchio.Image", path: Path) -> Iterator[OrientedVolume]:
    require_placed(image, path)
    for channel in image.data.numpy():
        yield orient(channel, image.affine, path)


def _region(loaded: CaseSubject, first: OrientedVolume, front: int) -> NDArray[Any] | None:
    """Labels of the mask, slices first."""
    if loaded.mask is None:
        return None
    path = loaded.paths[loaded.mask]
    region, *_ = _oriented(loaded.subject[loaded.mask], path)
    region.require_grid_of(first, "mask")
    if not (region.voxels > 0).any():
        raise DataError(f"{path}: an empty mask; leave its cell empty or draw the region")
    return np.moveaxis(region.voxels, front, 0)


def _representative(
    loaded: CaseSubject, first: OrientedVolume, front: int, count: int
) -> tuple[int, ...]:
    if SLICE_NUMBERS in loaded.subject:
        numbered, *_ = _oriented(loaded.subject[SLICE_NUMBERS], first.path)
        return nearest_slices(np.moveaxis(numbered.voxels, front, 0), loaded.representative)
    require_slices(str(first.path), loaded.representative, count)
    flipped = first.flipped[2 - front]
    return tuple(
        sorted(count - 1 - number if flipped else number for number in loaded.representative)
    )


def _index_affine(volume: OrientedVolume, axes: tuple[int, int, int]) -> Float[np.ndarray, "4 4"]:
    """From index (slice, row, column) to position in mm, in RAS."""
    placed = volume.affine[:, [*axes, 3]]
    return np.asarray(np.diag([-1.0, -1.0, 1.0, 1.0]) @ placed)
