"""A folder holding one DICOM series: its slices in order, refused unless they make a volume.

Geometry after DICOM PS3.3 C.7.6.2 (Image Plane Module). Slices count from 0 along the normal of the
plane (row direction x column direction), which is also how GDCM and SimpleITK sort them.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from volbench._utils.text import plural
from volbench.data.formats.file_bytes import AGAIN, contents, require_spacing
from volbench.data.formats.integrity import digest_of_series, slice_files
from volbench.data.formats.itk_image import StoredVolume, from_itk, quiet_itk
from volbench.errors import DataError

SERIES, POSITION, ORIENTATION = "0020|000e", "0020|0032", "0020|0037"
PIXEL_SPACING, THICKNESS = "0028|0030", "0018|0050"
SAME_PLACE_MM = 0.01
GAP_TOLERANCE = 0.05
ROUNDING_MM = 0.1
PARALLEL = 1e-3


@dataclass(frozen=True)
class Slice:
    """One file of a series.

    Attributes:
        pixels: As stored, rescaled by the file's own slope and intercept.
        rows: Direction in which the column number grows, then that of the row number, then the
            normal: an orthonormal matrix, one direction per row.
        spacing_mm: Between columns, then between rows.
        thickness: In mm, as text; empty if the file does not say.
        digest: SHA-256 over the file.
    """

    path: Path
    series: str
    pixels: Any
    position: Float[np.ndarray, "3"]
    rows: Float[np.ndarray, "3 3"]
    spacing_mm: tuple[float, float]
    thickness: str
    digest: bytes


def load_series(folder: Path) -> StoredVolume:
    """Read the one series of a folder.

    Raises:
        DataError: not a DICOM image among its files, two series, slices of different size, missing,
            doubled or unevenly spaced slices, a sheared stack or no spacing.
    """
    import SimpleITK as sitk

    slices = [_read(path) for path in slice_files(folder)]
    _require_one_series(folder, slices)
    normal = slices[0].rows[2]
    slices.sort(key=lambda item: float(item.position @ normal))
    spacing = (*slices[0].spacing_mm, _between_slices(folder, slices))
    image = sitk.GetImageFromArray(np.stack([item.pixels for item in slices]))
    image.SetSpacing(spacing)
    image.SetOrigin(slices[0].position.tolist())
    image.SetDirection(slices[0].rows.T.ravel().tolist())
    return from_itk(image, folder, digest_of_series([item.digest for item in slices]))


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
                f"{folder}: slices are shifted sideways (gantry tilt), {item.path.name} by "
                f"{sideways.max():.3g} mm; resample the series to a straight stack"
            )
    try:
        offsets = [float(item.position @ first.rows[2]) for item in slices]
        return between_offsets(offsets, [item.path.name for item in slices])
    except ValueError as error:
        raise DataError(f"{folder}: {error}; {AGAIN}") from None


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
                f"{folder}: {count} series in one folder ({first.path.name} and {item.path.name} "
                "differ); keep one series per folder"
            )
        if item.pixels.shape != first.pixels.shape:
            shapes = ["x".join(map(str, one.pixels.shape)) for one in (first, item)]
            raise DataError(
                f"{folder}: slices of different size, {first.path.name} {shapes[0]} and "
                f"{item.path.name} {shapes[1]}; {AGAIN}"
            )
        if not np.allclose(item.spacing_mm, first.spacing_mm, rtol=PARALLEL):
            raise DataError(
                f"{folder}: slices of different pixel spacing, {first.path.name} "
                f"{first.spacing_mm} and {item.path.name} {item.spacing_mm} mm; {AGAIN}"
            )
        if np.abs(item.rows - first.rows).max() > PARALLEL:
            raise DataError(
                f"{folder}: slices {first.path.name} and {item.path.name} are not parallel; "
                "keep localisers in a folder of their own"
            )


def _read(path: Path) -> Slice:
    import SimpleITK as sitk

    digest = hashlib.sha256(contents(path)).digest()
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        with quiet_itk():
            image = reader.Execute()
    except RuntimeError:
        raise DataError(
            f"{path}: not a DICOM image, or truncated; a series folder holds nothing else"
        ) from None
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise DataError(f"{path}: a colour image; volbench reads one number per voxel")
    if image.GetDimension() != 3 or image.GetSize()[2] != 1:
        raise DataError(f"{path}: a multi-frame DICOM file; convert it to NIfTI, e.g. by dcm2niix")
    cosines = _numbers(path, image, ORIENTATION, 6, "orientation")
    rows = np.array([cosines[:3], cosines[3:], np.cross(cosines[:3], cosines[3:])])
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)  # rounded in the file
    if not np.allclose(rows @ rows.T, np.eye(3), atol=0.01):
        raise DataError(f"{path}: its orientation {cosines.tolist()} is not a plane; {AGAIN}")
    between_rows, between_columns = _numbers(path, image, PIXEL_SPACING, 2, "pixel spacing")
    require_spacing(path, (float(between_columns), float(between_rows)))
    return Slice(
        path=path,
        series=_tag(image, SERIES),
        pixels=sitk.GetArrayFromImage(image)[0],
        position=_numbers(path, image, POSITION, 3, "position"),
        rows=rows,
        spacing_mm=(float(between_columns), float(between_rows)),
        thickness=_tag(image, THICKNESS),
        digest=digest,
    )


def _numbers(path: Path, image: Any, tag: str, count: int, name: str) -> Float[np.ndarray, " n"]:
    text = _tag(image, tag)
    try:
        found = np.array([float(word) for word in text.split("\\")])
    except ValueError:
        found = np.array([])
    if len(found) != count or not np.isfinite(found).all():
        raise DataError(
            f"{path}: its {name} ({tag.replace('|', ',')}) is {text or 'missing'!r}; {AGAIN}"
        )
    return found


def _tag(image: Any, tag: str) -> str:
    return str(image.GetMetaData(tag)).strip() if image.HasMetaDataKey(tag) else ""
