"""Reading one case: every file proved whole, turned to one orientation, through-plane axis first.

Axes run to the patient's left, posterior and superior (LPS) as closely as flips and swaps allow;
voxels stay where they are, nothing is resampled. Slices are the planes across the axis of largest
spacing; ``OrientedVolume.through_plane`` says what happens where pixels are as coarse as slices.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from volbench.data.formats.dicom import load_series
from volbench.data.formats.integrity import digest_of
from volbench.data.formats.oriented_volume import PLANES, OrientedVolume, load_file
from volbench.errors import DataError
from volbench.interfaces import Case, Files, Generated
from volbench.types import Scan


def read_case(case: Case) -> Scan:
    """Read or render a case.

    Raises:
        DataError: a file is missing, damaged or not what it should be, or they do not fit together;
            one line that names the file, what is wrong and the way out.
    """
    return read_with_fingerprint(case)[0]


def read_with_fingerprint(case: Case) -> tuple[Scan, str]:
    """Do both, reading each file's bytes once.

    Raises:
        DataError: as ``read_case``.
    """
    if isinstance(case.source, Files):
        return _read_files(case, case.source)
    return _render(case, case.source), fingerprint(case)


def fingerprint(case: Case) -> str:
    """SHA-256 over all that ``read_case`` depends on: equal fingerprints, equal scans.

    That is the content of the case's files (their names do not count) or the generator's own
    fingerprint, with the plane asked for and the representative slices. Needs no reader of images.

    Raises:
        DataError: a file is missing.
    """
    source = case.source
    if isinstance(source, Generated):
        return _combined(case, ["generated", source.fingerprint()])
    mask = digest_of(source.mask) if source.mask else ""
    return _combined(case, [*map(digest_of, source.images), mask, str(source.plane)])


def _combined(case: Case, parts: Iterable[str]) -> str:
    numbers = map(str, sorted(case.representative))
    return hashlib.sha256("\x1f".join([*parts, *numbers]).encode()).hexdigest()


def _render(case: Case, source: Generated) -> Scan:
    scan = source.render()
    name = f"case {case.name}"
    for channel in scan.image:
        if not np.isfinite(channel).all():
            raise DataError(f"{name}: NaN or infinite voxels; correct its data set")
        _require_contrast(name, channel)
    numbers = case.representative or scan.representative
    _require_slices(name, numbers, scan.image.shape[1])
    return replace(scan, representative=tuple(sorted(numbers)))


def _read_files(case: Case, source: Files) -> tuple[Scan, str]:
    channels, digests = zip(*map(_load, source.images), strict=True)
    first: OrientedVolume = channels[0]
    for channel in channels:
        channel.require_grid_of(first, "channel")
        _require_contrast(str(channel.path), channel.voxels)
    axis = first.through_plane(source.plane)
    front = 2 - axis  # voxels are stored slowest axis first, the affine's columns are not
    mask, mask_digest = None, ""
    if source.mask is not None:
        region, mask_digest = _load(source.mask)
        region.require_grid_of(first, "mask")
        mask = np.ascontiguousarray(np.moveaxis(region.voxels > 0, front, 0))
        if not mask.any():
            raise DataError(
                f"{source.mask}: an empty mask; leave its cell empty or draw the region"
            )
    count = first.voxels.shape[front]
    _require_slices(str(first.path), case.representative, count)
    rows, columns = (other for other in (2, 1, 0) if other != axis)
    spacing = first.spacing_mm
    voxels = np.stack([np.moveaxis(channel.voxels, front, 0) for channel in channels])
    scan = Scan(
        image=np.ascontiguousarray(voxels),
        spacing_mm=(spacing[axis], spacing[rows], spacing[columns]),
        mask=mask,
        representative=tuple(
            sorted(
                count - 1 - number if first.flipped[axis] else number
                for number in case.representative
            )
        ),
        plane=PLANES[axis],
    )
    return scan, _combined(case, [*digests, mask_digest, str(source.plane)])


def _load(path: Path) -> tuple[OrientedVolume, str]:
    return load_series(path) if path.is_dir() else load_file(path)


def _require_contrast(name: str, voxels: np.ndarray) -> None:
    low, high = float(voxels.min()), float(voxels.max())
    if low == high:
        raise DataError(f"{name}: every voxel is {low:g}; there is nothing to learn from it")


def _require_slices(name: str, numbers: tuple[int, ...], count: int) -> None:
    for number in numbers:
        if not 0 <= number < count:
            raise DataError(
                f"{name}: representative slice {number} of {count} slices; "
                f"slices count from 0 to {count - 1}"
            )
