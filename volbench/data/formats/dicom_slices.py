"""Slices of a DICOM file: one of a classic image, one per frame of an enhanced multi-frame image.

Geometry after DICOM PS3.3 C.7.6.2 (Image Plane) and C.7.6.16 (Multi-frame Functional Groups).
Values are stored numbers times slope plus intercept, each slice by its own, whatever the file says
about display.
"""

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from volbench.data.formats.dicom_pixels import frame_count, parse, stored_pixels
from volbench.data.formats.file_bytes import (
    AGAIN,
    ORTHONORMAL,
    contents,
    orthonormal,
    require_finite,
    require_spacing,
)
from volbench.errors import DataError

TELLING = {
    "EchoTime": "echo time",
    "EffectiveEchoTime": "echo time",
    "EchoNumbers": "echo number",
    "InversionTime": "inversion time",
    "FlipAngle": "flip angle",
    "DiffusionBValue": "b-value",
    "DiffusionGradientOrientation": "gradient direction",
    "AcquisitionNumber": "acquisition number",
    "FrameAcquisitionNumber": "acquisition number",
    "TemporalPositionIdentifier": "temporal position",
    "TemporalPositionIndex": "temporal position",
    "TriggerTime": "trigger time",
    "NominalCardiacTriggerDelayTime": "trigger time",
    "StackID": "stack",
    "ImageType": "image type",
    "FrameType": "image type",
    "ConvolutionKernel": "convolution kernel",
    "AcquisitionTime": "acquisition time",
}
"""Keywords of tags that separate two volumes of one series, the most specific first."""

DEEPEST = 4
"""Sequences within sequences that a functional group is looked through for."""


@dataclass(frozen=True)
class Slice:
    """One file of a series, or one frame of a file.

    Attributes:
        name: Of the file, with the frame's number where it has several.
        pixels: As stored, rescaled by its own slope and intercept.
        rows: Direction in which the column number grows, then that of the row number, then the
            normal: an orthonormal matrix, one direction per row.
        spacing_mm: Between columns, then between rows.
        thickness: In mm, as text; empty if the file does not say.
        telling: Values of those tags of ``TELLING`` that it has.
        padding: Where the scanner measured nothing (Pixel Padding Value); None if nowhere.
    """

    path: Path
    name: str
    series: str
    pixels: Any
    position: Float[np.ndarray, "3"]
    rows: Float[np.ndarray, "3 3"]
    spacing_mm: tuple[float, float]
    thickness: str
    telling: Mapping[str, str] = field(default_factory=dict[str, str])
    padding: NDArray[np.bool_] | None = None


def read_slices(path: Path) -> tuple[list[Slice], bytes]:
    """Read a file: its slices, and the SHA-256 of its bytes.

    Raises:
        DataError: not a DICOM image of one number per pixel, truncated, or without a place.
    """
    content = contents(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tags = parse(path, content)
        count = frame_count(path, tags)
        groups = tags.get("PerFrameFunctionalGroupsSequence")
        if count > 1 and (not groups or len(groups) != count):
            raise DataError(
                f"{path}: a multi-frame DICOM file; convert it to NIfTI, e.g. by dcm2niix (it does "
                f"not say where its {count} frames lie)"
            )
        pixels = stored_pixels(path, tags, content)
        slices = [_slice(path, tags, pixels[number], number, count) for number in range(count)]
    return slices, hashlib.sha256(content).digest()


def tag_of(keyword: str) -> str:
    """The number of a tag, as messages show it."""
    from pydicom.datadict import tag_for_keyword

    number = tag_for_keyword(keyword) or 0
    return f"{number >> 16:04x},{number & 0xFFFF:04x}"


def _slice(path: Path, tags: Any, stored: NDArray[Any], number: int, count: int) -> Slice:
    name = path.name if count == 1 else f"{path.name} frame {number + 1}"
    said = _Said(path, tags, _functional(tags, number))
    cosines = said.numbers("ImageOrientationPatient", 6, "orientation")
    lengths = np.linalg.norm(cosines.reshape(2, 3), axis=1)
    if not (np.abs(lengths - 1) <= ORTHONORMAL).all():
        raise DataError(f"{path}: its orientation {cosines.tolist()} is not a plane; {AGAIN}")
    normal = np.cross(cosines[:3], cosines[3:])
    axes = np.array([cosines[:3], cosines[3:], normal / max(np.linalg.norm(normal), 1e-6)])
    between_rows, between_columns = said.numbers("PixelSpacing", 2, "pixel spacing")
    require_spacing(path, (float(between_columns), float(between_rows)))
    pixels = _rescaled(path, tags, said, stored)
    return Slice(
        path=path,
        name=name,
        series=str(tags.get("SeriesInstanceUID", "")),
        pixels=pixels,
        position=said.numbers("ImagePositionPatient", 3, "position"),
        rows=orthonormal(path, axes.T).T,
        spacing_mm=(float(between_columns), float(between_rows)),
        thickness=said.text("SliceThickness"),
        telling={keyword: text for keyword in TELLING if (text := said.text(keyword))},
        padding=_padding(path, tags, stored),
    )


def _rescaled(path: Path, tags: Any, said: "_Said", stored: NDArray[Any]) -> NDArray[Any]:
    if "ModalityLUTSequence" in tags:
        from pydicom.pixels.processing import apply_modality_lut

        return np.asarray(apply_modality_lut(stored, tags))
    slope, intercept = said.number("RescaleSlope", 1.0), said.number("RescaleIntercept", 0.0)
    require_finite(path, "rescale slope and intercept", (slope, intercept))
    pixels = stored if (slope, intercept) == (1, 0) else stored * slope + intercept
    if not np.isfinite(pixels).all():
        raise DataError(f"{path}: NaN or infinite pixels; {AGAIN}")
    return pixels


def _padding(path: Path, tags: Any, stored: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Where stored pixels have the value of padding (DICOM PS3.3 C.7.5.1.1.2)."""
    value = tags.get("PixelPaddingValue")
    if value is None:
        return None
    try:
        limits = [float(value), float(tags.get("PixelPaddingRangeLimit", value))]
    except (TypeError, ValueError):
        raise DataError(f"{path}: its Pixel Padding Value is {value!r}; {AGAIN}") from None
    found: NDArray[np.bool_] = (stored >= min(limits)) & (stored <= max(limits))
    return found if found.any() else None


def _functional(tags: Any, number: int) -> dict[str, Any]:
    """What the functional groups say of a frame: its own first, then those of all frames."""
    found: dict[str, Any] = {}
    own = tags.get("PerFrameFunctionalGroupsSequence") or []
    for group in (*own[number : number + 1], *(tags.get("SharedFunctionalGroupsSequence") or [])):
        _gather(group, found, DEEPEST)
    return found


def _gather(group: Any, found: dict[str, Any], depth: int) -> None:
    for element in group:
        if element.VR == "SQ":
            if depth and len(element.value) == 1:
                _gather(element.value[0], found, depth - 1)
        elif element.keyword:
            found.setdefault(element.keyword, element.value)


@dataclass(frozen=True)
class _Said:
    """Tags of a slice: of its functional groups, else of its file."""

    path: Path
    tags: Any
    groups: Mapping[str, Any]

    def value(self, keyword: str) -> Any:
        """As pydicom has it; None if it is not there, or cannot be read."""
        try:
            return self.groups[keyword] if keyword in self.groups else self.tags.get(keyword)
        except Exception:  # a value that is none of its type
            return None

    def text(self, keyword: str) -> str:
        """One text; several values with backslashes between, as the file has them."""
        value = self.value(keyword)
        if value is None:
            return ""
        several = not isinstance(value, str) and hasattr(value, "__iter__")
        return "\\".join(map(str, value)) if several else str(value).strip()

    def number(self, keyword: str, default: float) -> float:
        """One number; ``default`` where there is none."""
        text = self.text(keyword)
        try:
            return float(text) if text else default
        except ValueError:
            raise DataError(
                f"{self.path}: its {keyword} ({tag_of(keyword)}) is {text!r}; {AGAIN}"
            ) from None

    def numbers(self, keyword: str, count: int, name: str) -> Float[np.ndarray, " n"]:
        """So many finite numbers.

        Raises:
            DataError: others than that.
        """
        text = self.text(keyword)
        try:
            found = np.array([float(word) for word in text.split("\\")])
        except ValueError:
            found = np.array([])
        if len(found) != count or not np.isfinite(found).all():
            raise DataError(
                f"{self.path}: its {name} ({tag_of(keyword)}) is {text or 'missing'!r}; {AGAIN}"
            )
        return found
