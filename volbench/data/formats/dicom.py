"""DICOM series: sorted slices, refused unless they form one volume.

Slices count from 0 along the normal of the plane (row direction x column direction), which is also
how GDCM and SimpleITK sort them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from volbench._utils.text import plural
from volbench.data.formats.dicom_slices import TELLING, Slice, read_slices, tag_of
from volbench.data.formats.file_bytes import AGAIN, require_spacing
from volbench.data.formats.integrity import digest_of_series
from volbench.data.formats.itk_image import LPS_TO_RAS, StoredVolume
from volbench.data.formats.series_files import is_dicom_file, slice_files
from volbench.errors import DataError

SAME_PLACE_MM = 0.01
GAP_TOLERANCE = 0.05
ROUNDING_MM = 0.1
PARALLEL = 1e-3


def load_series(path: Path) -> StoredVolume:
    """Read the one series of a folder, or one file of many frames.

    Raises:
        DataError: not a DICOM image among its files, two series, slices of different size, missing,
            doubled or unevenly spaced slices, a sheared stack or no spacing.
    """
    slices: list[Slice] = []
    digests: list[bytes] = []
    for file in slice_files(path):
        found, digest = read_slices(file)
        slices += found
        digests.append(digest)
    if is_dicom_file(path) and len(slices) == 1:
        raise DataError(f"{path}: one DICOM slice; name the folder that holds its series")
    _require_one_series(path, slices)
    first, normal = slices[0], slices[0].rows[2]
    slices.sort(key=lambda item: float(item.position @ normal))
    spacing = (*first.spacing_mm, _between_slices(path, slices))
    affine = np.eye(4)
    affine[:3, :3] = LPS_TO_RAS @ first.rows.T * np.array(spacing)
    affine[:3, 3] = LPS_TO_RAS @ slices[0].position
    return StoredVolume(_filled(path, slices).T, affine, digest_of_series(digests))


def _filled(folder: Path, slices: Sequence[Slice]) -> NDArray[Any]:
    """All slices; padding, which is no tissue, gets the lowest value that was measured."""
    voxels: NDArray[Any] = np.stack([item.pixels for item in slices])
    if all(item.padding is None for item in slices):
        return voxels
    padding = np.stack(
        [
            np.zeros(item.pixels.shape, bool) if item.padding is None else item.padding
            for item in slices
        ]
    )
    if padding.all():
        raise DataError(f"{folder}: every pixel is padding (Pixel Padding Value); {AGAIN}")
    voxels[padding] = voxels[~padding].min()
    return voxels


def between_offsets(offsets: Sequence[float], names: Sequence[str]) -> float:
    """Distance between slices, from their places along the normal in ascending order.

    Raises:
        ValueError: two slices in one place, a slice missing, or uneven distances; names the files.
    """
    gaps = np.diff(np.asarray(offsets, dtype=float))
    for index, gap in enumerate(gaps):
        if gap < SAME_PLACE_MM:
            raise ValueError(
                f"a doubled slice, {names[index]} and {names[index + 1]} lie in one place"
            )
    usual = float(np.sort(gaps)[(len(gaps) - 1) // 2])
    tolerance = max(GAP_TOLERANCE * usual, ROUNDING_MM) + 1e-6
    for index, gap in enumerate(gaps):
        where = f"between {names[index]} and {names[index + 1]}"
        missing = round(gap / usual) - 1
        if missing >= 1 and abs(gap - (missing + 1) * usual) <= tolerance:
            raise ValueError(
                f"{plural(missing, 'missing slice')} {where} "
                f"({gap:.4g} mm apart, the others {usual:.4g} mm)"
            )
        if abs(gap - usual) > tolerance:
            raise ValueError(
                f"varying slice spacing, {gap:.4g} mm {where} and {usual:.4g} mm elsewhere"
            )
    return float(gaps.mean())


def _between_slices(folder: Path, slices: Sequence[Slice]) -> float:
    """Distance between slices in mm, of a stack that proved straight and even."""
    if len(slices) == 1:
        return _thickness(slices[0])
    first = slices[0]
    for item in slices:
        away = item.position - first.position
        sideways = np.abs(first.rows[:2] @ away)
        if (sideways > np.array(first.spacing_mm)).any():
            raise DataError(
                f"{folder}: slices are shifted sideways (gantry tilt), {item.name} by "
                f"{sideways.max():.3g} mm; resample the series to a straight stack"
            )
    offsets = [float(item.position @ first.rows[2]) for item in slices]
    _require_one_volume(folder, slices, offsets)
    try:
        return between_offsets(offsets, [item.name for item in slices])
    except ValueError as error:
        raise DataError(f"{folder}: {error}; {AGAIN}") from None


def _require_one_volume(folder: Path, slices: Sequence[Slice], offsets: Sequence[float]) -> None:
    """Where two slices lie in one place, say by which tag they are two volumes.

    Raises:
        DataError: such a pair, and a tag that tells them apart.
    """
    for index, gap in enumerate(np.diff(np.asarray(offsets, dtype=float))):
        if gap >= SAME_PLACE_MM:
            continue
        first, second = slices[index], slices[index + 1]
        for keyword, name in TELLING.items():
            ours, theirs = first.telling.get(keyword), second.telling.get(keyword)
            if ours != theirs:
                raise DataError(
                    f"{folder}: more than one volume, {first.name} and {second.name} lie "
                    f"in one place and differ in the {name} ({tag_of(keyword)}): "
                    f"{ours or 'none'} and {theirs or 'none'}; put each volume into a folder of "
                    "its own"
                )


def _thickness(only: Slice) -> float:
    """Distance to a neighbour that does not exist: of one slice, all there is is its thickness."""
    try:
        thickness = float(only.thickness)
    except ValueError:
        raise DataError(
            f"{only.path}: a single slice without a slice thickness; export the whole series"
        ) from None
    require_spacing(only.path, (thickness,))
    return thickness


def _require_one_series(folder: Path, slices: Sequence[Slice]) -> None:
    first = slices[0]
    for item in slices[1:]:
        if item.series != first.series:
            count = len({item.series for item in slices})
            raise DataError(
                f"{folder}: {count} series in one folder ({first.name} and {item.name} "
                "differ); keep one series per folder"
            )
        if item.pixels.shape != first.pixels.shape:
            shapes = ["x".join(map(str, one.pixels.shape)) for one in (first, item)]
            raise DataError(
                f"{folder}: slices of different size, {first.name} {shapes[0]} and "
                f"{item.name} {shapes[1]}; {AGAIN}"
            )
        if not np.allclose(item.spacing_mm, first.spacing_mm, rtol=PARALLEL):
            raise DataError(
                f"{folder}: slices of different pixel spacing, {first.name} "
                f"{first.spacing_mm} and {item.name} {item.spacing_mm} mm; {AGAIN}"
            )
        if np.abs(item.rows - first.rows).max() > PARALLEL:
            raise DataError(
                f"{folder}: slices {first.name} and {item.name} are not parallel; "
                "keep localisers in a folder of their own"
            )
