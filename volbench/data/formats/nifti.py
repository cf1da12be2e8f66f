"""NIfTI files, checked byte by byte (the NIfTI-1 header of nifti.nimh.nih.gov).

The reader behind SimpleITK pads a truncated file with zeros, turns NaN into 0 and a zero spacing
into 1, all without a word.
"""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from volbench.data.formats.file_bytes import (
    AGAIN,
    gunzip,
    require_bytes,
    require_spacing,
    suffix_of,
)
from volbench.errors import DataError

VOXEL_BYTES = {
    2: 1,
    4: 2,
    8: 4,
    16: 4,
    32: 8,
    64: 8,
    128: 3,
    256: 1,
    512: 2,
    768: 4,
    1024: 8,
    1280: 8,
    1536: 16,
    1792: 16,
    2048: 32,
    2304: 4,
}
FLOATS = {16: "f4", 64: "f8"}
SPACING_TOLERANCE = 0.01


@dataclass(frozen=True)
class Header:
    """What of a header decides whether the rest of the file can be believed."""

    order: str
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    datatype: int
    offset: int
    affine_spacing: tuple[float, ...] | None


def data_files(path: Path, stored: bytes) -> tuple[Path, ...]:
    """Other files the image is made of: none."""
    return ()


def verify(path: Path, stored: bytes, parts: Sequence[bytes]) -> None:
    """Refuse a file that is not whole, or whose spacing or voxels are not numbers.

    Raises:
        DataError: with the file's name and what is wrong.
    """
    zipped = stored[:2] == b"\x1f\x8b"
    if zipped != (suffix_of(path) == ".nii.gz"):
        proper = ".nii.gz" if zipped else ".nii"
        raise DataError(
            f"{path}: {'' if zipped else 'not '}gzip-compressed, against its name; "
            f"rename it to end in {proper}"
        )
    content = gunzip(path, stored) if zipped else stored
    header = _header(path, content)
    require_spacing(path, header.spacing[:3])
    _require_one_spacing(path, header)
    count = math.prod(header.shape)
    require_bytes(path, len(content) - header.offset, count * VOXEL_BYTES[header.datatype])
    if header.datatype in FLOATS:
        kind = header.order + FLOATS[header.datatype]
        voxels = np.frombuffer(content, kind, count, header.offset)
        if not np.isfinite(voxels).all():
            raise DataError(f"{path}: NaN or infinite voxels; replace them before use")


def _header(path: Path, content: bytes) -> Header:
    for order in "<>":
        size = content[:4]
        if size == struct.pack(f"{order}i", 348) and content[344:348] == b"n+1\0":
            return _read_header(path, content, order)
        if size == struct.pack(f"{order}i", 540) and content[4:8] == b"n+2\0":
            raise DataError(
                f"{path}: a NIfTI-2 file, which SimpleITK does not read; save it as NIfTI-1"
            )
    raise DataError(f"{path}: not a NIfTI file, its header is wrong; {AGAIN}")


def _read_header(path: Path, content: bytes, order: str) -> Header:
    shape = _shape(path, struct.unpack_from(f"{order}8h", content, 40))
    return Header(
        order=order,
        shape=shape,
        spacing=struct.unpack_from(f"{order}{len(shape)}f", content, 80),
        datatype=_datatype(path, struct.unpack_from(f"{order}h", content, 70)[0]),
        offset=_offset(path, struct.unpack_from(f"{order}f", content, 108)[0]),
        affine_spacing=_affine_spacing(content, order),
    )


def _shape(path: Path, dimensions: tuple[int, ...]) -> tuple[int, ...]:
    shape = dimensions[1 : dimensions[0] + 1]
    if not 1 <= dimensions[0] <= 7 or min(shape) < 1:
        raise DataError(f"{path}: corrupt, its header gives the dimensions {dimensions}; {AGAIN}")
    return shape


def _datatype(path: Path, code: int) -> int:
    if code not in VOXEL_BYTES:
        raise DataError(f"{path}: corrupt, its header gives the voxel type {code}; {AGAIN}")
    return code


def _offset(path: Path, offset: float) -> int:
    if not 0 <= offset < 2**31:
        raise DataError(f"{path}: corrupt, its header gives the voxel offset {offset:g}; {AGAIN}")
    return int(offset)


def _affine_spacing(content: bytes, order: str) -> tuple[float, ...] | None:
    """Spacing by the sform, where the header says that the sform counts."""
    if struct.unpack_from(f"{order}h", content, 254)[0] <= 0:
        return None
    rows = np.array(struct.unpack_from(f"{order}12f", content, 280), float).reshape(3, 4)
    return tuple(float(length) for length in np.linalg.norm(rows[:, :3], axis=0))


def _require_one_spacing(path: Path, header: Header) -> None:
    """Two spacings in one header: nobody can tell which of them is true."""
    if header.affine_spacing is None:
        return
    require_spacing(path, header.affine_spacing)
    for step, other in zip(header.spacing, header.affine_spacing, strict=False):
        if abs(step - other) > SPACING_TOLERANCE * step:
            raise DataError(
                f"{path}: its header gives two spacings, {step:g} mm (pixdim) and {other:g} mm "
                "(sform); correct one"
            )
