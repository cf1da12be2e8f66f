"""Format detection and integrity of compressed streams.

Readers of medical images are lenient: a truncated NIfTI comes back as a volume padded with zeros,
a broken zlib stream of a MetaImage as garbage. So volbench looks at every byte before it believes
a reader.
"""

import math
import os
import re
import stat
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float

from volbench._utils.text import nothing_there
from volbench.data.formats.series_files import is_dicom_file
from volbench.data.formats.unverified import PAIRS, unverified_suffix
from volbench.data.formats.unverified import SUFFIXES as UNVERIFIED
from volbench.errors import DataError

SUFFIXES = {
    ".nii.gz": "nifti",
    ".nii": "nifti",
    ".nrrd": "nrrd",
    ".nhdr": "nrrd",
    ".mha": "meta",
    ".mhd": "meta",
}
ACCEPTED = (
    f"{', '.join(SUFFIXES)}, a folder holding one DICOM series, or what TorchIO reads "
    f"({', '.join(UNVERIFIED)})"
)
AGAIN = "copy or export it again"
LARGEST_BYTES = 2**34
"""No image is larger, compressed or not: what a damaged or hostile file may cost in memory."""
ORTHONORMAL = 0.01
"""How far from right angles, as a cosine, axes may be that were rounded in their file."""
LARGE_BYTES, LARGEST_RATIO = 2**30, 200
"""Above so many bytes, no image is compressed by more: a label map is, but it is smaller."""
TRAILING_BYTES = 2**20
"""What may follow the voxels, in bytes; some exporters pad."""


def format_of(path: Path) -> str:
    """Name the format of an image: nifti, nrrd, meta, dicom, or unverified.

    Raises:
        DataError: nothing is there, or it is none of these.
    """
    if os.path.isdir(path) or (is_dicom_file(path) and os.path.exists(path)):
        return "dicom"
    suffix = suffix_of(path)
    if suffix:
        return SUFFIXES[suffix]
    if is_nifti_pair(path):
        return "nifti"
    if unverified_suffix(path):
        return "unverified"
    if not os.path.exists(path):
        raise no_such_file(path)
    raise DataError(f"{path}: not a format volbench reads; give {ACCEPTED}")


def is_verifiable(path: Path) -> bool:
    """Whether volbench can prove an image whole before it is read."""
    known = os.path.isdir(path) or is_dicom_file(path) or bool(suffix_of(path))
    return known or is_nifti_pair(path)


def suffix_of(path: Path) -> str:
    """Find the suffix volbench knows, in lower case; empty if there is none."""
    name = path.name.lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")


def is_nifti_pair(path: Path) -> bool:
    """Whether a path names either half of a NIfTI pair (.hdr, .img), and not one of Analyze."""
    header = header_of_pair(path)
    if header is None:
        return False
    try:
        start = first_bytes(header, 348)
    except (OSError, DataError):
        return False
    return start[344:348] == b"ni1\0" or start[4:8] == b"ni2\0"


def header_of_pair(path: Path) -> Path | None:
    """The header's file, of a path that names either half of a pair."""
    suffix = unverified_suffix(path)
    if suffix not in PAIRS:
        return None
    return path.with_name(path.name[: len(path.name) - len(suffix)] + ".hdr")


def no_such_file(path: Path) -> DataError:
    """Say that nothing is there, and why that may be."""
    return DataError(f"{path}: {nothing_there(path)}")


def first_bytes(path: Path, count: int) -> bytes:
    """The beginning of a file, without waiting for a writer where it is a pipe.

    Raises:
        DataError: it is no regular file.
        OSError: it cannot be opened.
    """
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise _not_regular(path)
        return file.read(count)


def _unreadable(path: Path, error: OSError | ValueError) -> DataError:
    if isinstance(error, FileNotFoundError):
        return no_such_file(path)
    return DataError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})")


def _not_regular(path: Path) -> DataError:
    return DataError(f"{path}: not a regular file (a device or a pipe); name an image file")


def require_openable(path: Path) -> int:
    """The size of a file that ``contents`` would read.

    Raises:
        DataError: it is missing, no regular file, or larger than an image can be.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    if not stat.S_ISREG(status.st_mode):
        raise _not_regular(path)
    if status.st_size > LARGEST_BYTES:
        raise _too_large(path, status.st_size)
    return status.st_size


def contents(path: Path) -> bytes:
    """Read a whole file.

    Raises:
        DataError: it is missing, empty, no regular file, larger than an image can be, cannot be
            read, or holds a web page or a pointer where an image should be.
    """
    require_openable(path)
    try:
        found = path.read_bytes()
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    if not found:
        raise DataError(f"{path}: empty; {AGAIN}")
    _require_image(path, found)
    return found


def _require_image(path: Path, found: bytes) -> None:
    """Name what often lies where an image was meant to be."""
    start = found[:512].lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml")):
        raise DataError(
            f"{path}: not an image: a web page or XML, perhaps an error or a login page saved "
            "under this name; download the image again"
        )
    if start.startswith(b"version https://git-lfs"):
        raise DataError(
            f"{path}: not an image: a Git LFS pointer; fetch the image with `git lfs pull`"
        )
    if b"/annex/objects/" in start:
        raise DataError(
            f"{path}: not an image: a git-annex pointer; fetch the image with `git annex get`"
        )


def _too_large(path: Path, size: int) -> DataError:
    return DataError(
        f"{path}: {size} bytes, more than the {LARGEST_BYTES} that one image may have; check that "
        "it is an image"
    )


def gunzip(path: Path, stored: bytes, limit: int = LARGEST_BYTES) -> bytes:
    """Decompress all members, checking length and CRC.

    Raises:
        DataError: the stream is cut short, damaged, or longer than ``limit`` bytes.
    """
    require_plausible(path, len(stored), limit)
    chunks: list[bytes] = []
    room = limit
    rest = stored
    while rest.strip(b"\0") if chunks else True:  # zeros may pad the end
        stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            chunks.append(stream.decompress(rest, room + 1))
        except zlib.error as error:
            wrong = "incorrect data check" in str(error) or "length check" in str(error)
            reason = "its gzip checksum is wrong" if wrong else "its gzip stream breaks"
            raise DataError(f"{path}: corrupt, {reason}; {AGAIN}") from None
        room -= len(chunks[-1])
        if room < 0:
            raise _bomb(path, limit)
        if not stream.eof:
            raise DataError(f"{path}: truncated, its gzip stream ends early; {AGAIN}")
        rest = stream.unused_data
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def inflate(path: Path, stored: bytes, limit: int = LARGEST_BYTES) -> bytes:
    """Decompress a zlib or gzip stream, checking that it ends and its checksum.

    Raises:
        DataError: the stream is cut short, damaged, longer than ``limit`` bytes, or followed by
            something else.
    """
    require_plausible(path, len(stored), limit)
    stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # 32: either kind of header
    try:
        found = stream.decompress(stored, limit + 1)
    except zlib.error:
        raise DataError(f"{path}: corrupt, its zlib stream breaks; {AGAIN}") from None
    if len(found) > limit:
        raise _bomb(path, limit)
    if not stream.eof:
        raise DataError(f"{path}: truncated, its zlib stream ends early; {AGAIN}")
    return found


def require_plausible(path: Path, compressed: int, announced: int) -> None:
    """Refuse gigabytes that are said to come out of next to nothing.

    Raises:
        DataError: with both numbers.
    """
    if announced > LARGE_BYTES and announced > LARGEST_RATIO * compressed:
        raise DataError(
            f"{path}: corrupt, its header announces {announced} bytes of voxels in {compressed} "
            f"compressed ones; {AGAIN}"
        )


def _bomb(path: Path, limit: int) -> DataError:
    return DataError(
        f"{path}: corrupt, its compressed stream holds more than the {limit} bytes that its header "
        f"announces; {AGAIN}"
    )


def require_bytes(path: Path, found: int, needed: int) -> None:
    """Refuse voxels that are fewer than the header announces."""
    if found < needed:
        raise DataError(
            f"{path}: truncated, {max(found, 0)} bytes of voxels where its header announces "
            f"{needed}; {AGAIN}"
        )


def require_spacing(path: Path, spacing: tuple[float, ...]) -> None:
    """Refuse a spacing that is zero, negative, NaN or infinite."""
    if not all(0 < step < float("inf") for step in spacing):
        shown = " x ".join(f"{step:g}" for step in spacing)
        raise DataError(f"{path}: spacing {shown} mm; correct its header, {AGAIN}")


def require_finite(path: Path, what: str, numbers: Iterable[float]) -> None:
    """Refuse a geometry or a scaling that holds NaN or infinity."""
    found = list(numbers)
    if not all(map(math.isfinite, found)):
        shown = " ".join(f"{number:g}" for number in found)
        raise DataError(f"{path}: its {what} is not finite ({shown}); correct its header, {AGAIN}")


def numbered_files(path: Path, pattern: str, numbers: range, most: int) -> list[str]:
    """Names of a numbered series of files (``slice%03d.raw``), bounded before they are made.

    Raises:
        DataError: more files than slices, or a pattern with anything but one plain ``%d``.
    """
    if len(numbers) > most or not numbers:
        raise DataError(
            f"{path}: corrupt, its header names {pattern!r} from {numbers.start} to "
            f"{numbers.stop - numbers.step} in steps of {numbers.step}, but has {most} slices; "
            f"{AGAIN}"
        )
    if len(re.findall("%", pattern)) != 1 or not re.search(r"%0?\d{0,2}[diu]", pattern):
        raise DataError(f"{path}: cannot read its data file {pattern!r}; {AGAIN}")
    return [pattern % number for number in numbers]


def orthonormal(
    path: Path, directions: Float[np.ndarray, "3 3"], tolerance: float = ORTHONORMAL
) -> Float[np.ndarray, "3 3"]:
    """The rotation nearest to directions that were rounded in their file, columns as axes.

    Directions written with three digits are off by up to 0.002; those of a sheared volume by far
    more, and they have no such rotation.

    Raises:
        DataError: the axes are further from right angles or unit length than ``tolerance``.
    """
    away = float(np.abs(directions.T @ directions - np.eye(3)).max())
    if not away <= tolerance:
        raise DataError(
            f"{path}: its axes are not at right angles (off by {away:.2g}, {tolerance:g} is "
            "rounding); resample it to a straight grid, or correct its header"
        )
    left, _, right = np.linalg.svd(directions)
    return np.asarray(left @ right) if away > 1e-6 else directions
