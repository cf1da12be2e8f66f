"""Voxels behind a MetaImage or NRRD header: in its own file, in another, or in one file a slice."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from volbench.data.formats.file_bytes import AGAIN, require_bytes
from volbench.errors import DataError

Voxels: TypeAlias = Callable[[Path, bytes, int], bytes]
"""From a file's name, its content and the bytes needed of it to the bytes of its voxels."""


def part_paths(path: Path, names: Sequence[str], slices: int) -> tuple[Path, ...]:
    """Data files beside a header.

    Raises:
        DataError: there is neither one nor one for each slice.
    """
    if len(names) not in (1, slices):
        raise DataError(
            f"{path}: corrupt, its header names {len(names)} files for {slices} slices; {AGAIN}"
        )
    return tuple(path.parent / name for name in names)


def joined_parts(
    path: Path,
    names: Sequence[Path],
    payloads: Sequence[bytes],
    *,
    sizes: Sequence[int],
    kind: np.dtype[Any],
    voxels: Voxels,
) -> NDArray[Any]:
    """Decode the parts of a volume and lay them end to end, in the machine's byte order.

    Raises:
        DataError: a part is missing, or cannot be decoded.
    """
    if len(payloads) != len(names):
        raise DataError(f"{path}: {len(names)} data files named, {len(payloads)} there; {AGAIN}")
    needed = math.prod(sizes) * kind.itemsize // len(names)
    chunks = [voxels(name, part, needed) for name, part in zip(names, payloads, strict=True)]
    return np.frombuffer(b"".join(chunks), kind).astype(kind.newbyteorder("="))


def from_text(path: Path, payload: bytes, count: int, kind: np.dtype[Any]) -> bytes:
    """The bytes of numbers that were written out.

    Raises:
        DataError: a word is no number, or none that the type holds.
    """
    words = payload.split()
    require_bytes(path, len(words) * kind.itemsize, count * kind.itemsize)
    try:
        convert = float if kind.kind == "f" else int
        return np.array([convert(word) for word in words[:count]]).astype(kind).tobytes()
    except (ValueError, OverflowError):
        raise DataError(f"{path}: corrupt, its voxels are not all numbers; {AGAIN}") from None
