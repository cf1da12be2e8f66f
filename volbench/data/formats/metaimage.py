"""MetaImage files (.mha, .mhd), decoded from the bytes that were checked.

Every number of the header is bounded before it is believed (itk.org/Wiki/ITK/MetaIO/Documentation);
the reader behind SimpleITK hangs, crashes or returns leftover memory for headers that lie.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from volbench.data.formats.file_bytes import (
    AGAIN,
    LARGEST_BYTES,
    inflate,
    numbered_files,
    orthonormal,
    require_bytes,
    require_finite,
    require_spacing,
)
from volbench.data.formats.itk_image import LPS_TO_RAS
from volbench.data.formats.raw_parts import from_text, joined_parts, part_paths
from volbench.errors import DataError

KINDS = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
MOST_DIMENSIONS = 10
LONGEST_LINE = 65536
DIRECTIONS = ("TransformMatrix", "Rotation", "Orientation")
ORIGINS = ("Offset", "Position", "Origin")
RESCALING = {"ElementToIntensityFunctionSlope": 1.0, "ElementToIntensityFunctionOffset": 0.0}


@dataclass(frozen=True)
class Header:
    """The fields of a header, and where it ends in its file."""

    fields: Mapping[str, str]
    end: int

    def is_true(self, name: str, *, default: bool) -> bool:
        """Whether a field says True."""
        return self.fields.get(name, str(default)).lower() in ("true", "1", "t")


def data_files(path: Path, stored: bytes) -> tuple[Path, ...]:
    """Files that hold the voxels, where the header does not.

    Raises:
        DataError: the header cannot be read.
    """
    header = read_header(path, stored)
    named = header.fields["ElementDataFile"]
    words = named.split()
    if named.upper() == "LOCAL":
        return ()
    most = _sizes(path, header)[-1]
    if words[0].upper() == "LIST":
        listed = stored[header.end :].decode("latin-1").split("\n")
        names = [line.strip() for line in listed if line.strip()]
    elif len(words) >= 3 and "%" in words[0]:
        try:
            first, last, step = (int(word) for word in [*words[1:], "1"][:3])
            numbers = range(first, last + 1, step)
        except ValueError:
            raise DataError(f"{path}: cannot read its data file {named!r}; {AGAIN}") from None
        names = numbered_files(path, words[0], numbers, most)
    else:
        names = [named]
    return part_paths(path, names, most)


def verify(path: Path, stored: bytes, parts: Sequence[bytes]) -> None:
    """Refuse a file that is not whole, or whose header cannot be believed.

    Args:
        path: The header's file, for messages.
        stored: Its content.
        parts: Content of the files that ``data_files`` names.

    Raises:
        DataError: with the file's name and what is wrong.
    """
    decode(path, stored, parts)


def decode(
    path: Path, stored: bytes, parts: Sequence[bytes]
) -> tuple[NDArray[Any], Float[np.ndarray, "4 4"]]:
    """Voxels (width, height, depth) and their affine in RAS, in mm.

    Raises:
        DataError: with the file's name and what is wrong.
    """
    header = read_header(path, stored)
    sizes = _sizes(path, header)
    kind = _kind(path, header)
    shape = _three(path, sizes)
    affine = affine_of(path, header)
    array = joined_parts(
        path,
        data_files(path, stored) or (path,),
        list(parts) or [stored[header.end :]],
        sizes=sizes,
        kind=kind,
        voxels=lambda name, payload, needed: _voxels(name, header, payload, needed, kind),
    )
    return array.reshape(shape, order="F"), affine


def _voxels(path: Path, header: Header, payload: bytes, needed: int, kind: np.dtype[Any]) -> bytes:
    """The bytes of one file's voxels, as ``kind`` has them."""
    compressed = header.is_true("CompressedData", default=False)
    skip = _integer(path, header.fields, "HeaderSize", 0)
    if skip < -1 or skip > len(payload) or (skip == -1 and compressed):
        raise DataError(f"{path}: corrupt, its header gives the HeaderSize {skip}; {AGAIN}")
    if skip == -1:  # the voxels are what the file ends with
        skip = max(0, len(payload) - needed)
    payload = payload[skip:]
    if compressed:
        payload = inflate(path, _compressed(path, header.fields, payload), needed)
    elif not header.is_true("BinaryData", default=True):
        payload = from_text(path, payload, needed // kind.itemsize, kind)
    require_bytes(path, len(payload), needed)
    return payload[:needed]


def _compressed(path: Path, fields: Mapping[str, str], payload: bytes) -> bytes:
    """What of a file is compressed: as much as the header says, or all of a file of voxels."""
    alone = fields["ElementDataFile"].upper() != "LOCAL"
    size = _integer(path, fields, "CompressedDataSize", len(payload) if alone else 0)
    if size <= 0:
        given = "no" if "CompressedDataSize" not in fields else f"a wrong ({size})"
        raise DataError(f"{path}: corrupt, its header gives {given} CompressedDataSize; {AGAIN}")
    if size > len(payload):
        raise DataError(
            f"{path}: truncated, {len(payload)} bytes of compressed voxels where its header "
            f"announces {size} (CompressedDataSize); {AGAIN}"
        )
    return payload[:size]


def _sizes(path: Path, header: Header) -> tuple[int, ...]:
    try:
        sizes = tuple(int(word) for word in header.fields["DimSize"].split())
    except (KeyError, ValueError) as error:
        raise DataError(f"{path}: corrupt, cannot read {error} in its header; {AGAIN}") from None
    dimensions = _integer(path, header.fields, "NDims", len(sizes))
    if dimensions != len(sizes) or not 1 <= dimensions <= MOST_DIMENSIONS:
        raise DataError(
            f"{path}: corrupt, its header gives {dimensions} dimensions (NDims) and {len(sizes)} "
            f"sizes (DimSize); {AGAIN}"
        )
    if min(sizes) < 1 or math.prod(sizes) > LARGEST_BYTES:
        shown = " ".join(map(str, sizes))
        raise DataError(f"{path}: corrupt, its header gives the sizes {shown[:80]}; {AGAIN}")
    return sizes


def _three(path: Path, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The sizes without axes of length one beyond the third."""
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes = sizes[:-1]
    if len(sizes) != 3:
        raise DataError(f"{path}: a {len(sizes)}D image; give one 3D volume per file and channel")
    return sizes


def _kind(path: Path, header: Header) -> np.dtype[Any]:
    fields = header.fields
    channels = _integer(path, fields, "ElementNumberOfChannels", 1)
    if channels != 1:
        raise DataError(
            f"{path}: {channels} numbers per voxel (RGB or vectors); give one file per channel"
        )
    try:
        name = KINDS[fields["ElementType"].removesuffix("_ARRAY")]
    except KeyError as error:
        raise DataError(f"{path}: corrupt, cannot read {error} in its header; {AGAIN}") from None
    for field, neutral in RESCALING.items():
        if _numbers(path, fields, (field,), (neutral,)) != [neutral]:
            raise DataError(f"{path}: {field} is {fields[field]}; export it with its real values")
    big = any(
        header.is_true(field, default=False)
        for field in ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
    )
    text = not header.is_true("BinaryData", default=True)
    return np.dtype((">" if big and not text else "<") + name)


def affine_of(path: Path, header: Header) -> Float[np.ndarray, "4 4"]:
    """Index (as stored) to position in mm, in RAS.

    Raises:
        DataError: the header gives none, or one that is sheared or not finite.
    """
    fields, count = header.fields, len(_sizes(path, header))
    spacing = _numbers(path, fields, ("ElementSpacing", "ElementSize"), ())
    if not spacing:
        raise DataError(f"{path}: its header gives no spacing; export it again with its spacing")
    require_spacing(path, tuple(spacing))
    origin = _numbers(path, fields, ORIGINS, (0.0,) * count)
    matrix = _numbers(path, fields, DIRECTIONS, tuple(np.eye(count).ravel()))
    require_finite(path, "offset", origin)
    require_finite(path, "TransformMatrix", matrix)
    if (len(spacing), len(origin), len(matrix)) != (count, count, count * count):
        raise DataError(
            f"{path}: corrupt, its header gives {len(spacing)} spacings, {len(origin)} offsets and "
            f"{len(matrix)} direction cosines for {count} dimensions; {AGAIN}"
        )
    # An axis of the image to a line of the matrix.
    directions = orthonormal(path, np.array(matrix).reshape(count, count).T[:3, :3])
    affine = np.eye(4)
    affine[:3, :3] = LPS_TO_RAS @ directions * np.array(spacing[:3])
    affine[:3, 3] = LPS_TO_RAS @ np.array(origin[:3])
    return affine


def _numbers(
    path: Path, fields: Mapping[str, str], names: Sequence[str], default: Sequence[float]
) -> list[float]:
    """Numbers of the first of these fields that is there."""
    name = next((name for name in names if fields.get(name)), None)
    if name is None:
        return list(default)
    try:
        return [float(word) for word in fields[name].split()]
    except ValueError as error:
        raise DataError(f"{path}: corrupt, cannot read {name} ({error}); {AGAIN}") from None


def _integer(path: Path, fields: Mapping[str, str], name: str, default: int) -> int:
    try:
        return int(fields.get(name, default))
    except ValueError as error:
        raise DataError(f"{path}: corrupt, cannot read {name} ({error}); {AGAIN}") from None


def read_header(path: Path, stored: bytes) -> Header:
    """Read up to the line that says where the voxels are; it is always the last one.

    Raises:
        DataError: it is none, or gives a field twice.
    """
    fields: dict[str, str] = {}
    end = 0
    while end < len(stored) and "ElementDataFile" not in fields:
        line, newline, _ = stored[end : end + LONGEST_LINE].partition(b"\n")
        end += len(line) + len(newline)
        name, equals, value = line.decode("latin-1").partition("=")
        if not equals:
            break
        if name.strip() in fields:
            raise DataError(f"{path}: corrupt, its header gives {name.strip()} twice; {AGAIN}")
        fields[name.strip()] = value.strip()
    if not fields.get("ElementDataFile"):
        raise DataError(f"{path}: not a MetaImage file, its header is wrong; {AGAIN}")
    return Header(fields, end)
