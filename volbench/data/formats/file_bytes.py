"""Image files as bytes: the format a path stands for, and whether a compressed stream is whole.

Readers of medical images are lenient: a truncated NIfTI comes back as a volume padded with zeros,
a broken zlib stream of a MetaImage as garbage. So volbench looks at every byte before it believes
a reader.
"""

import gzip
import zlib
from pathlib import Path

from volbench.data.formats.unverified import SUFFIXES as UNVERIFIED
from volbench.data.formats.unverified import unverified_suffix
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


def format_of(path: Path) -> str:
    """Name the format of an image: nifti, nrrd, meta, dicom, or unverified.

    Raises:
        DataError: nothing is there, or it is none of these.
    """
    if path.is_dir():
        return "dicom"
    suffix = suffix_of(path)
    if suffix:
        return SUFFIXES[suffix]
    if unverified_suffix(path):
        return "unverified"
    if not path.exists():
        raise DataError(f"{path}: no such file; check the path")
    if path.suffix.lower() in {".dcm", ".ima"}:
        raise DataError(f"{path}: one DICOM slice; name the folder that holds its series")
    raise DataError(f"{path}: not a format volbench reads; give {ACCEPTED}")


def is_verifiable(path: Path) -> bool:
    """Whether volbench can prove an image whole before it is read."""
    return path.is_dir() or bool(suffix_of(path))


def suffix_of(path: Path) -> str:
    """Find the suffix volbench knows, in lower case; empty if there is none."""
    name = path.name.lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")


def contents(path: Path) -> bytes:
    """Read a whole file.

    Raises:
        DataError: it is missing, empty or cannot be read.
    """
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check the path") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    if not found:
        raise DataError(f"{path}: empty; {AGAIN}")
    return found


def gunzip(path: Path, stored: bytes) -> bytes:
    """Decompress, checking length and CRC.

    Raises:
        DataError: the stream is cut short or damaged.
    """
    try:
        return gzip.decompress(stored)
    except EOFError:
        raise DataError(f"{path}: truncated, its gzip stream ends early; {AGAIN}") from None
    except (OSError, zlib.error) as error:
        reason = "its gzip checksum is wrong" if "CRC" in str(error) else "its gzip stream breaks"
        raise DataError(f"{path}: corrupt, {reason}; {AGAIN}") from None


def inflate(path: Path, stored: bytes) -> bytes:
    """Decompress a zlib or gzip stream, checking that it ends and its checksum.

    Raises:
        DataError: the stream is cut short or damaged.
    """
    stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # 32: either kind of header
    try:
        found = stream.decompress(stored)
    except zlib.error:
        raise DataError(f"{path}: corrupt, its zlib stream breaks; {AGAIN}") from None
    if not stream.eof:
        raise DataError(f"{path}: truncated, its zlib stream ends early; {AGAIN}")
    return found


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
