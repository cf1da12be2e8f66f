"""Integrity check and content digest of image files."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from volbench.data.formats import metaimage, nifti, nrrd, unverified
from volbench.data.formats.file_bytes import AGAIN, contents, first_bytes, format_of, no_such_file
from volbench.data.formats.series_files import slice_files
from volbench.errors import DataError

DataFiles = Callable[[Path, bytes], tuple[Path, ...]]
_FORMATS: Mapping[str, ModuleType] = {
    "nifti": nifti,
    "nrrd": nrrd,
    "meta": metaimage,
    "unverified": unverified,
}

LONGEST_HEADER = 2**20


@dataclass(frozen=True)
class Stored:
    """All bytes of one image that is a file: the file itself, and those its header points at."""

    path: Path
    head: bytes
    parts: tuple[bytes, ...]

    def verify(self) -> None:
        """Refuse what is truncated, corrupt or without a spacing.

        Raises:
            DataError: with the file's name and what is wrong.
        """
        _FORMATS[format_of(self.path)].verify(self.path, self.head, self.parts)

    def decode(self, geometry: str | None = None) -> tuple[NDArray[Any], Float[np.ndarray, "4 4"]]:
        """Voxels (width, height, depth) and their affine in RAS, of a format that is verified.

        Args:
            geometry: Which part of a NIfTI header to believe; of no other format's.

        Raises:
            DataError: with the file's name and what is wrong.
        """
        decoded: tuple[NDArray[Any], Float[np.ndarray, "4 4"]]
        name = format_of(self.path)
        told = {"geometry": geometry} if name == "nifti" else {}
        try:
            decoded = _FORMATS[name].decode(self.path, self.head, self.parts, **told)
        except (DataError, MemoryError):
            raise
        except Exception as error:  # a header may be wrong in a way that no check foresaw
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:160]
            raise DataError(f"{self.path}: corrupt, cannot be read ({reason}); {AGAIN}") from None
        return decoded

    def digest(self) -> str:
        """SHA-256 over the content."""
        return _digest([self.head, *self.parts])


def stored(path: Path) -> Stored:
    """Read the bytes of an image that is a file, once.

    Raises:
        DataError: it, or a file its header points at, is missing.
    """
    head = contents(path)
    files: DataFiles = _FORMATS[format_of(path)].data_files
    return Stored(path, head, tuple(contents(part) for part in files(path, head)))


def digest_of(path: Path) -> str:
    """SHA-256 over the content of an image, whatever its name and format.

    Raises:
        DataError: it is missing or cannot be read.
    """
    if format_of(path) != "dicom":
        return stored(path).digest()
    return digest_of_series([hashlib.sha256(contents(file)).digest() for file in slice_files(path)])


def digest_of_series(digests: Sequence[bytes]) -> str:
    """SHA-256 over the files of a DICOM series: their names and order say nothing."""
    return _digest(sorted(digests))


def files_of(path: Path) -> list[Path]:
    """All files an image is made of; looks into headers only, so it is cheap.

    Raises:
        DataError: the image, or a file its header points at, is missing or cannot be read.
    """
    form = format_of(path)
    if form == "dicom":
        return slice_files(path)
    try:
        parts: DataFiles = _FORMATS[form].data_files
        found = [path, *parts(path, first_bytes(path, LONGEST_HEADER))]
    except FileNotFoundError:
        raise no_such_file(path) from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; check the path") from None
    for part in found:
        if not os.path.isfile(part):
            raise no_such_file(part)
    return found


def _digest(chunks: Sequence[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(len(chunk).to_bytes(8, "big"))  # so that bytes cannot move between files
        digest.update(chunk)
    return digest.hexdigest()
