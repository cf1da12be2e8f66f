"""DICOM series in a folder: sorted slices, refused unless they form one volume.

Geometry after DICOM PS3.3 C.7.6.2 (Image Plane Module). Slices count from 0 along the normal of the
plane (row direction x column direction), which is also how GDCM and SimpleITK sort them.
"""

import hashlib
import io
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from volbench._utils.text import plural
from volbench.data.formats.file_bytes import (
    AGAIN,
    ORTHONORMAL,
    contents,
    orthonormal,
    require_finite,
    require_spacing,
)
from volbench.data.formats.integrity import digest_of_series, slice_files
from volbench.data.formats.itk_image import StoredVolume, from_itk, quiet_itk
from volbench.errors import DataError

SERIES, POSITION, ORIENTATION = "0020|000e", "0020|0032", "0020|0037"
PIXEL_SPACING, THICKNESS = "0028|0030", "0018|0050"
TELLING = {
    "0018|0081": "echo time",
    "0018|0086": "echo number",
    "0018|0082": "inversion time",
    "0018|1314": "flip angle",
    "0018|9087": "b-value",
    "0020|0012": "acquisition number",
    "0020|0100": "temporal position",
    "0018|1060": "trigger time",
    "0008|0008": "image type",
    "0018|1210": "convolution kernel",
    "0008|0032": "acquisition time",
}
"""Tags that separate two volumes of one series, the most specific first."""
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
        telling: Values of those tags of ``TELLING`` that it has.
        padding: Where the scanner measured nothing (Pixel Padding Value); None if nowhere.
    """

    path: Path
    series: str
    pixels: Any
    position: Float[np.ndarray, "3"]
    rows: Float[np.ndarray, "3 3"]
    spacing_mm: tuple[float, float]
    thickness: str
    digest: bytes
    telling: Mapping[str, str] = field(default_factory=dict[str, str])
    padding: NDArray[np.bool_] | None = None


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
    image = sitk.GetImageFromArray(_filled(folder, slices))
    image.SetSpacing(spacing)
    image.SetOrigin(slices[0].position.tolist())
    image.SetDirection(slices[0].rows.T.ravel().tolist())
    return from_itk(image, folder, digest_of_series([item.digest for item in slices]))


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
                f"{folder}: slices are shifted sideways (gantry tilt), {item.path.name} by "
                f"{sideways.max():.3g} mm; resample the series to a straight stack"
            )
    offsets = [float(item.position @ first.rows[2]) for item in slices]
    _require_one_volume(folder, slices, offsets)
    try:
        return between_offsets(offsets, [item.path.name for item in slices])
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
        for tag, name in TELLING.items():
            ours, theirs = first.telling.get(tag), second.telling.get(tag)
            if ours != theirs:
                raise DataError(
                    f"{folder}: more than one volume, {first.path.name} and {second.path.name} lie "
                    f"in one place and differ in the {name} ({tag.replace('|', ',')}): "
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

    content = contents(path)
    tags = _checked_tags(path, content)
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
    lengths = np.linalg.norm(cosines.reshape(2, 3), axis=1)
    if not (np.abs(lengths - 1) <= ORTHONORMAL).all():
        raise DataError(f"{path}: its orientation {cosines.tolist()} is not a plane; {AGAIN}")
    normal = np.cross(cosines[:3], cosines[3:])
    axes = np.array([cosines[:3], cosines[3:], normal / max(np.linalg.norm(normal), 1e-6)])
    rows = orthonormal(path, axes.T).T
    between_rows, between_columns = _numbers(path, image, PIXEL_SPACING, 2, "pixel spacing")
    require_spacing(path, (float(between_columns), float(between_rows)))
    pixels = sitk.GetArrayFromImage(image)[0]
    if not np.isfinite(pixels).all():
        raise DataError(f"{path}: NaN or infinite pixels; {AGAIN}")
    return Slice(
        path=path,
        series=_tag(image, SERIES),
        pixels=pixels,
        position=_numbers(path, image, POSITION, 3, "position"),
        rows=rows,
        spacing_mm=(float(between_columns), float(between_rows)),
        thickness=_tag(image, THICKNESS),
        digest=hashlib.sha256(content).digest(),
        telling={tag: text for tag in TELLING if (text := _tag(image, tag))},
        padding=_padding(path, tags, pixels),
    )


def _checked_tags(path: Path, content: bytes) -> Any:
    """The tags of a file, as pydicom reads them; GDCM takes short pixel data for whole.

    Raises:
        DataError: it is no DICOM file, or its pixel data are shorter than its size needs.
    """
    import pydicom

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tags = pydicom.dcmread(io.BytesIO(content), force=True)
            if "PixelData" not in tags:
                raise ValueError
            compressed = tags.file_meta.TransferSyntaxUID.is_compressed
            bits = int(tags.Rows) * int(tags.Columns) * int(tags.BitsAllocated)
            bits *= int(tags.get("SamplesPerPixel", 1)) * int(tags.get("NumberOfFrames") or 1)
            found = len(tags.PixelData)
    except Exception:  # pydicom raises whatever its parser meets
        raise DataError(
            f"{path}: not a DICOM image, or truncated; a series folder holds nothing else"
        ) from None
    if not compressed and found < math.ceil(bits / 8):
        raise DataError(
            f"{path}: truncated, {found} bytes of pixel data where its size needs "
            f"{math.ceil(bits / 8)}; {AGAIN}"
        )
    return tags


def _padding(path: Path, tags: Any, pixels: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Where pixels have the value of padding (DICOM PS3.3 C.7.5.1.1.2), rescaled like any other."""
    value = tags.get("PixelPaddingValue")
    if value is None:
        return None
    slope = float(tags.get("RescaleSlope") or 1)
    intercept = float(tags.get("RescaleIntercept") or 0)
    require_finite(path, "rescale slope and intercept", (slope, intercept))
    try:
        limits = [float(value), float(tags.get("PixelPaddingRangeLimit", value))]
    except (TypeError, ValueError):
        raise DataError(f"{path}: its Pixel Padding Value is {value!r}; {AGAIN}") from None
    low, high = sorted(slope * limit + intercept for limit in limits)
    half = abs(slope) / 2
    found: NDArray[np.bool_] = (pixels >= low - half) & (pixels <= high + half)
    return found if found.any() else None


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
