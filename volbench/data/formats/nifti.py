"""NIfTI-1 and NIfTI-2, single files and pairs, decoded from the bytes that were checked.

nibabel reads the header; every number in it is bounded before it is believed. Values follow the
standard (nifti.nimh.nih.gov): a slope of 0 means no scaling at all. Where a header gives two
transforms, the one that ITK and TorchIO take is taken, provided that both name one orientation and
one spacing; where they do not, the data set says which to believe (``data.geometry``).
"""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from volbench.data.formats.file_bytes import (
    AGAIN,
    LARGEST_BYTES,
    TRAILING_BYTES,
    gunzip,
    header_of_pair,
    orthonormal,
    require_bytes,
    require_finite,
    require_spacing,
    suffix_of,
)
from volbench.data.formats.unverified import data_files as other_half
from volbench.errors import DataError

HEADER_BYTES = {1: 348, 2: 540}
FIRST_VOXEL = {1: 352, 2: 544}
"""Where voxels may begin in a single file: after the header and the word on extensions."""
GZIP = b"\x1f\x8b"
KINDS = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}
OTHER_KINDS = {
    32: "complex numbers; export magnitude images",
    128: "3 numbers per voxel (RGB or vectors); give one file per channel",
    1536: "numbers of 128 bits; save it as float64",
    1792: "complex numbers; export magnitude images",
    2048: "complex numbers; export magnitude images",
    2304: "4 numbers per voxel (RGB or vectors); give one file per channel",
}
SPACING_TOLERANCE = 0.01
TELL = "correct one, or say which holds: data.geometry=sform, qform or pixdim"
SAME_AXES = 0.1
"""Cosine by which the axes of two transforms may differ whatever they are called."""


@dataclass(frozen=True, eq=False)
class Header:
    """What of a header decides how the rest of the file is read.

    Attributes:
        fields: nibabel's header.
        version: 1 or 2.
        single: Whether header and voxels share a file.
    """

    fields: Any
    version: int
    single: bool
    order: str
    shape: tuple[int, ...]
    datatype: int
    offset: int


def data_files(path: Path, stored: bytes) -> tuple[Path, ...]:
    """The other half of a pair; nothing for a single file."""
    if suffix_of(path):
        return ()
    return other_half(path, stored)[:1]


def verify(path: Path, stored: bytes, parts: Sequence[bytes]) -> None:
    """Refuse a file that is not whole, or whose geometry, scaling or voxels are not numbers.

    Raises:
        DataError: with the file's name and what is wrong.
    """
    decode(path, stored, parts)


def decode(
    path: Path, stored: bytes, parts: Sequence[bytes], geometry: str | None = None
) -> tuple[NDArray[Any], Float[np.ndarray, "4 4"]]:
    """Voxels (width, height, depth) and their affine in RAS, in mm.

    Args:
        path: For messages.
        stored: Content of the file that is named.
        parts: Content of the other half of a pair.
        geometry: ``sform``, ``qform`` or ``pixdim``: what of the header to believe.

    Raises:
        DataError: with the file's name and what is wrong.
    """
    _require_name(path, stored)
    head, voxels = _halves(path, stored, parts)
    header = read_header(path, start_of(path, head, max(HEADER_BYTES.values())))
    if header.single != bool(suffix_of(path)):
        raise DataError(
            f"{path}: its header is that of {'one file' if header.single else 'a pair'} "
            f"({'.nii' if header.single else '.hdr and .img'}), against its name; {AGAIN}"
        )
    spacing = tuple(float(step) for step in header.fields["pixdim"][1 : len(header.shape) + 1])
    require_spacing(path, spacing[:3])
    affine = affine_of(path, header, spacing, geometry)
    kind = np.dtype(header.order + KINDS[header.datatype])
    count = math.prod(header.shape)
    needed = header.offset + count * kind.itemsize
    if needed > LARGEST_BYTES:
        raise DataError(f"{path}: corrupt, its header announces {needed} bytes; {AGAIN}")
    content = voxels
    if voxels[:2] == GZIP:
        content = gunzip(path, voxels, needed + TRAILING_BYTES)
    require_bytes(path, len(content) - header.offset, count * kind.itemsize)
    array = np.frombuffer(content, kind, count, header.offset)
    if kind.kind == "f" and not np.isfinite(array).all():
        raise DataError(f"{path}: NaN or infinite voxels; replace them before use")
    scaled = _scaled(path, header, array.astype(kind.newbyteorder("=")))
    return scaled.reshape(_three(path, header.shape), order="F"), affine


def _require_name(path: Path, stored: bytes) -> None:
    zipped = stored[:2] == GZIP
    suffix = suffix_of(path)
    if suffix and zipped != (suffix == ".nii.gz"):
        read_header(
            path, start_of(path, stored, max(HEADER_BYTES.values()))
        )  # or it is something else
        proper = ".nii.gz" if zipped else ".nii"
        raise DataError(
            f"{path}: {'' if zipped else 'not '}gzip-compressed, against its name; "
            f"rename it to end in {proper}"
        )


def _halves(path: Path, stored: bytes, parts: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Bytes of the header and of the voxels."""
    if suffix_of(path):
        return stored, stored
    if not parts:
        raise DataError(f"{path}: the other half of its .hdr and .img is missing; {AGAIN}")
    return (stored, parts[0]) if path == header_of_pair(path) else (parts[0], stored)


def start_of(path: Path, stored: bytes, count: int) -> bytes:
    """The first bytes, decompressed.

    Raises:
        DataError: the stream breaks.
    """
    if stored[:2] != GZIP:
        return stored[:count]
    import zlib

    try:
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(stored, count)
    except zlib.error:
        raise DataError(f"{path}: corrupt, its gzip stream breaks; {AGAIN}") from None


def read_header(path: Path, start: bytes) -> Header:
    """Read a header from its first bytes.

    Raises:
        DataError: it is none, or gives numbers that cannot be.
    """
    from nibabel import Nifti1Header, Nifti2Header

    for order in "<>":
        for version, made, place, magic in (
            (1, Nifti1Header, 344, (b"n+1\0", b"ni1\0")),
            (2, Nifti2Header, 4, (b"n+2\0", b"ni2\0")),
        ):
            size = HEADER_BYTES[version]
            found = start[place : place + 4]
            if start[:4] == struct.pack(f"{order}i", size) and found in magic:
                if len(start) < size:
                    raise DataError(f"{path}: truncated within its header; {AGAIN}")
                fields = made(start[:size], order, check=False)  # type: ignore[no-untyped-call]
                return _read_header(path, fields, version, order, single=found == magic[0])
    raise DataError(f"{path}: not a NIfTI file, its header is wrong; {AGAIN}")


def _read_header(path: Path, fields: Any, version: int, order: str, *, single: bool) -> Header:
    return Header(
        fields=fields,
        version=version,
        single=single,
        order=order,
        shape=_shape(path, tuple(int(size) for size in fields["dim"])),
        datatype=_datatype(path, int(fields["datatype"])),
        offset=_offset(path, float(fields["vox_offset"]), FIRST_VOXEL[version] if single else 0),
    )


def _shape(path: Path, dimensions: tuple[int, ...]) -> tuple[int, ...]:
    shape = dimensions[1 : dimensions[0] + 1]
    if not 1 <= dimensions[0] <= 7 or min(shape) < 1:
        raise DataError(f"{path}: corrupt, its header gives the dimensions {dimensions}; {AGAIN}")
    return shape


def _three(path: Path, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape without axes of length one beyond the third."""
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) == 5 and shape[3] == 1:
        raise DataError(
            f"{path}: {shape[4]} numbers per voxel (RGB or vectors); give one file per channel"
        )
    if len(shape) != 3:
        raise DataError(f"{path}: a {len(shape)}D image; give one 3D volume per file and channel")
    return shape


def _datatype(path: Path, code: int) -> int:
    if code in OTHER_KINDS:
        raise DataError(f"{path}: {OTHER_KINDS[code]}")
    if code not in KINDS:
        raise DataError(f"{path}: corrupt, its header gives the voxel type {code}; {AGAIN}")
    return code


def _offset(path: Path, offset: float, least: int) -> int:
    """Where voxels begin; within the header they would be other numbers than voxels."""
    if not least <= offset < 2**31 or offset != int(offset):
        raise DataError(
            f"{path}: corrupt, its header gives the voxel offset {offset:g}, at least {least} "
            f"belongs there; {AGAIN}"
        )
    return int(offset)


def _scaled(path: Path, header: Header, voxels: NDArray[Any]) -> NDArray[Any]:
    slope, intercept = float(header.fields["scl_slope"]), float(header.fields["scl_inter"])
    if slope == 0:
        return voxels
    require_finite(path, "scaling (slope, intercept)", (slope, intercept))
    if (slope, intercept) == (1, 0):
        return voxels
    return voxels.astype(np.float64) * slope + intercept


def affine_of(
    path: Path, header: Header, spacing: tuple[float, ...], geometry: str | None = None
) -> Float[np.ndarray, "4 4"]:
    """Choose between the transforms of a header as ITK does, once they agree.

    Args:
        path: For messages.
        header: Of the image.
        spacing: Its pixdim, in mm.
        geometry: ``sform`` or ``qform`` takes that transform alone; ``pixdim`` the spacing, with
            axes as of a file without transforms (right to left, anterior to posterior, up).

    Raises:
        DataError: a transform is missing, not finite or sheared, or two of them contradict each
            other.
    """
    steps = np.array([*spacing, 1.0, 1.0, 1.0][:3])
    if geometry is not None:
        return _told(path, header, steps, geometry)
    sform = _sform(path, header) if int(header.fields["sform_code"]) > 0 else None
    qform = _qform(path, header, steps) if int(header.fields["qform_code"]) > 0 else None
    if sform is not None:
        _require_one_spacing(path, sform, steps)
    if sform is None and qform is None:
        return _unplaced(steps)
    if sform is None or qform is None:
        return sform if qform is None else qform  # type: ignore[return-value]
    _require_one_orientation(path, sform, qform)
    return sform if int(header.fields["sform_code"]) == 1 else qform


def _unplaced(steps: Float[np.ndarray, "3"]) -> Float[np.ndarray, "4 4"]:
    """Axes of a file without transforms, as ITK has them."""
    return np.diag([-steps[0], -steps[1], steps[2], 1.0])


def _told(
    path: Path, header: Header, steps: Float[np.ndarray, "3"], geometry: str
) -> Float[np.ndarray, "4 4"]:
    """The one transform that the data set names."""
    if geometry == "pixdim":
        return _unplaced(steps)
    if int(header.fields[f"{geometry}_code"]) <= 0:
        raise DataError(
            f"{path}: its header has no {geometry} (its code is 0), but data.geometry={geometry}; "
            "use another, or none"
        )
    return _sform(path, header) if geometry == "sform" else _qform(path, header, steps)


def _sform(path: Path, header: Header) -> Float[np.ndarray, "4 4"]:
    affine = np.asarray(header.fields.get_sform(), float)
    require_finite(path, "sform", affine.ravel())
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    require_spacing(path, tuple(float(length) for length in lengths))
    affine[:3, :3] = orthonormal(path, affine[:3, :3] / lengths) * lengths
    return affine


def _require_one_spacing(
    path: Path, sform: Float[np.ndarray, "4 4"], steps: Float[np.ndarray, "3"]
) -> None:
    lengths = np.linalg.norm(sform[:3, :3], axis=0)
    if (np.abs(steps - lengths) > SPACING_TOLERANCE * steps).any():
        first, second = (" x ".join(f"{step:g}" for step in found) for found in (steps, lengths))
        raise DataError(
            f"{path}: its header gives two spacings, {first} mm (pixdim) and {second} mm (sform); "
            f"{TELL}"
        )


def _qform(path: Path, header: Header, steps: Float[np.ndarray, "3"]) -> Float[np.ndarray, "4 4"]:
    names = ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z")
    numbers = [float(header.fields[name]) for name in names]
    require_finite(path, "qform", numbers)
    if sum(number**2 for number in numbers[:3]) > 1 + 1e-3:
        raise DataError(f"{path}: corrupt, its quaternion {numbers[:3]} is longer than 1; {AGAIN}")
    from nibabel.quaternions import fillpositive, quat2mat

    quaternion = fillpositive(np.array(numbers[:3]), w2_thresh=-2e-3)  # type: ignore[no-untyped-call]
    rotation = quat2mat(quaternion)  # type: ignore[no-untyped-call]
    affine = np.eye(4)
    handed = -1.0 if float(header.fields["pixdim"][0]) < 0 else 1.0
    affine[:3, :3] = rotation * np.array([steps[0], steps[1], steps[2] * handed])
    affine[:3, 3] = numbers[3:]
    return affine


def _require_one_orientation(
    path: Path, sform: Float[np.ndarray, "4 4"], qform: Float[np.ndarray, "4 4"]
) -> None:
    """Two transforms may differ by a registration, but must not name different axes."""
    from nibabel.orientations import aff2axcodes

    first, second = (
        "".join(map(str, aff2axcodes(matrix)))  # type: ignore[no-untyped-call]
        for matrix in (sform, qform)
    )
    steps = np.linalg.norm(sform[:3, :3], axis=0)
    turned = float(np.abs((sform - qform)[:3, :3] / steps).max())
    if first != second and turned > SAME_AXES:  # an oblique volume may lie between two names
        raise DataError(
            f"{path}: its header gives two orientations, {first} (sform) and {second} (qform); "
            f"{TELL}"
        )
