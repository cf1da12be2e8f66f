"""NRRD files, attached and detached, decoded from the bytes that were checked.

Every number of the header is bounded before it is believed (teem.sourceforge.net/nrrd/format.html).
"""

import bz2
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
    TRAILING_BYTES,
    gunzip,
    numbered_files,
    orthonormal,
    require_bytes,
    require_finite,
    require_plausible,
    require_spacing,
)
from volbench.data.formats.itk_image import LPS_TO_RAS
from volbench.data.formats.raw_parts import from_text, joined_parts, part_paths
from volbench.errors import DataError

_NAMES = {
    "i1": "signed char, int8, int8_t",
    "u1": "uchar, unsigned char, uint8, uint8_t",
    "i2": "short, short int, signed short, signed short int, int16, int16_t",
    "u2": "ushort, unsigned short, unsigned short int, uint16, uint16_t",
    "i4": "int, signed int, int32, int32_t",
    "u4": "uint, unsigned int, uint32, uint32_t",
    "i8": "longlong, long long, long long int, signed long long, signed long long int, int64, "
    "int64_t",
    "u8": "ulonglong, unsigned long long, unsigned long long int, uint64, uint64_t",
    "f4": "float",
    "f8": "double",
}
KINDS = {name: kind for kind, names in _NAMES.items() for name in names.split(", ")}
TO_LPS = {
    "right-anterior-superior": (-1.0, -1.0, 1.0),
    "ras": (-1.0, -1.0, 1.0),
    "left-anterior-superior": (1.0, -1.0, 1.0),
    "las": (1.0, -1.0, 1.0),
}
"""Signs of spaces that are not left-posterior-superior."""
MOST_DIMENSIONS = 16
TEXTS = ("text", "txt", "ascii")


@dataclass(frozen=True)
class Header:
    """The fields of a header, and where it ends in its file."""

    fields: Mapping[str, str]
    listed: tuple[str, ...]
    end: int


def data_files(path: Path, stored: bytes) -> tuple[Path, ...]:
    """Files that hold the voxels of a detached header.

    Raises:
        DataError: the header cannot be read.
    """
    header = read_header(path, stored)
    named = header.fields.get("data file", "")
    words = named.split()
    if not named:
        return ()
    most = _sizes(path, header)[-1]
    if words[0] == "LIST":
        names: Sequence[str] = header.listed
    elif len(words) >= 4 and "%" in words[0]:
        try:
            first, last, step = (int(word) for word in words[1:4])
            numbers = range(first, last + (1 if step > 0 else -1), step)
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
    directions, _ = _geometry(path, header.fields, len(sizes))
    kept = _spatial(path, sizes, directions)
    kind = _kind(path, header.fields)
    array = joined_parts(
        path,
        data_files(path, stored) or (path,),
        list(parts) or [stored[header.end :]],
        sizes=sizes,
        kind=kind,
        voxels=lambda name, payload, needed: _voxels(name, header.fields, payload, needed, kind),
    )
    shape = tuple(sizes[axis] for axis in kept)
    return array.reshape(shape, order="F"), affine_of(path, header)


def _voxels(
    path: Path, fields: Mapping[str, str], payload: bytes, needed: int, kind: np.dtype[Any]
) -> bytes:
    """The bytes of one file's voxels, decoded, without what is to be skipped."""
    lines = _integer(path, fields, "line skip", 0)
    skip = _integer(path, fields, "byte skip", 0)
    encoding = fields.get("encoding", "raw").lower()
    if lines < 0 or lines > payload.count(b"\n"):
        raise DataError(
            f"{path}: corrupt, its header skips {lines} lines, more than there are; {AGAIN}"
        )
    if skip < -1 or skip > len(payload) or (skip == -1 and encoding != "raw"):
        raise DataError(f"{path}: corrupt, its header skips {skip} bytes; {AGAIN}")
    for _ in range(lines):
        payload = payload.partition(b"\n")[2]
    decoded = _decoded(path, payload, encoding, needed + max(skip, 0), kind)
    if skip == -1:  # the voxels are what the file ends with
        skip = max(0, len(decoded) - needed)
    require_bytes(path, len(decoded) - max(skip, 0), needed)
    return decoded[skip : skip + needed]


def _decoded(path: Path, payload: bytes, encoding: str, needed: int, kind: np.dtype[Any]) -> bytes:
    match encoding:
        case "raw":
            return payload
        case "gzip" | "gz":
            return gunzip(path, payload, needed + TRAILING_BYTES)
        case "bzip2" | "bz2":
            return _bunzip(path, payload, needed + TRAILING_BYTES)
        case "text" | "txt" | "ascii":
            return from_text(path, payload, needed // kind.itemsize, kind)
        case "hex":
            digits = b"".join(payload.split())
            require_bytes(path, len(digits) // 2, needed)
            try:
                return bytes.fromhex(digits.decode("ascii"))
            except ValueError:
                raise DataError(
                    f"{path}: corrupt, its voxels are not hexadecimal; {AGAIN}"
                ) from None
        case _:
            raise DataError(f"{path}: unknown encoding {encoding!r}; save it as raw or gzip")


def _bunzip(path: Path, payload: bytes, limit: int) -> bytes:
    require_plausible(path, len(payload), limit)
    stream = bz2.BZ2Decompressor()
    try:
        found = stream.decompress(payload, limit)
    except (OSError, ValueError):
        raise DataError(f"{path}: its bzip2 stream is not whole; {AGAIN}") from None
    if not stream.eof:
        raise DataError(
            f"{path}: its bzip2 stream is not whole, or longer than its header says; {AGAIN}"
        )
    return found


def _sizes(path: Path, header: Header) -> tuple[int, ...]:
    try:
        sizes = tuple(int(word) for word in header.fields["sizes"].split())
        dimension = int(header.fields.get("dimension", len(sizes)))
    except (KeyError, ValueError) as error:
        raise DataError(f"{path}: corrupt, its header lacks {error}; {AGAIN}") from None
    if dimension != len(sizes) or not 1 <= dimension <= MOST_DIMENSIONS:
        raise DataError(
            f"{path}: corrupt, its header gives {dimension} dimensions and {len(sizes)} sizes; "
            f"{AGAIN}"
        )
    if min(sizes) < 1 or math.prod(sizes) > LARGEST_BYTES:
        shown = " ".join(map(str, sizes))
        raise DataError(f"{path}: corrupt, its header gives the sizes {shown[:80]}; {AGAIN}")
    return sizes


def _kind(path: Path, fields: Mapping[str, str]) -> np.dtype[Any]:
    try:
        name = KINDS[fields["type"].lower()]
    except KeyError as error:
        raise DataError(f"{path}: corrupt, its header lacks {error}; {AGAIN}") from None
    endian = fields.get("endian", "").lower()
    in_text = fields.get("encoding", "raw").lower() in TEXTS
    if name[1] == "1" or in_text:
        return np.dtype("<" + name)
    if endian not in ("little", "big"):
        raise DataError(f"{path}: its header does not say in which order bytes are; {AGAIN}")
    return np.dtype((">" if endian == "big" else "<") + name)


def _geometry(
    path: Path, fields: Mapping[str, str], count: int
) -> tuple[list[tuple[float, ...] | None], tuple[float, ...]]:
    """The direction of every axis, None for one that is no direction in space; the origin."""
    try:
        if "space directions" in fields:
            directions = [
                None if word == "none" else _vector(word)
                for word in _words(fields["space directions"])
            ]
        else:
            steps = [float(word) for word in fields.get("spacings", "").split()]
            directions = [
                None
                if math.isnan(step)
                else tuple(step if axis == other else 0.0 for other in range(3))
                for axis, step in enumerate(steps)
            ]
        origin = _vector(fields["space origin"]) if "space origin" in fields else (0.0, 0.0, 0.0)
    except ValueError:
        raise DataError(f"{path}: cannot read the spacing in its header; {AGAIN}") from None
    if not any(directions):
        raise DataError(f"{path}: its header gives no spacing; export it again with its spacing")
    if len(directions) != count:
        raise DataError(
            f"{path}: corrupt, its header gives {len(directions)} directions or spacings for "
            f"{count} dimensions; {AGAIN}"
        )
    return directions, origin


def _words(text: str) -> list[str]:
    return text.replace(")", ") ").replace(", ", ",").split()


def _vector(word: str) -> tuple[float, ...]:
    return tuple(float(number) for number in word.strip(" ()").split(","))


def _spatial(
    path: Path, sizes: tuple[int, ...], directions: Sequence[tuple[float, ...] | None]
) -> list[int]:
    """The three axes that lie in space; any other may have one element only."""
    for size, direction in zip(sizes, directions, strict=True):
        if direction is None and size > 1:
            raise DataError(
                f"{path}: {size} numbers per voxel (RGB or vectors); give one file per channel"
            )
    kept = [axis for axis, direction in enumerate(directions) if direction is not None]
    while len(kept) > 3 and sizes[kept[-1]] == 1:
        kept.pop()
    if len(kept) != 3:
        raise DataError(f"{path}: a {len(kept)}D image; give one 3D volume per file and channel")
    return kept


def affine_of(path: Path, header: Header) -> Float[np.ndarray, "4 4"]:
    """Index (as stored, the axes in space alone) to position in mm, in RAS.

    Raises:
        DataError: the header gives none, or one that is sheared, not finite or not in mm.
    """
    fields = header.fields
    sizes = _sizes(path, header)
    directions, origin = _geometry(path, fields, len(sizes))
    kept = _spatial(path, sizes, directions)
    units = {word.strip('"').lower() for word in fields.get("space units", "").split()}
    if units - {"mm", "millimeter", "millimeters", ""}:
        raise DataError(f"{path}: its space units are {', '.join(sorted(units))}; save it in mm")
    vectors = [directions[axis] or () for axis in kept]
    if not any(any(vector[3:]) for vector in vectors):  # a fourth axis of length one is left out
        vectors, origin = [vector[:3] for vector in vectors], origin[:3]
    if len(origin) != 3 or any(len(vector) != 3 for vector in vectors):
        raise DataError(f"{path}: corrupt, its space is not of three dimensions; {AGAIN}")
    columns = np.array(vectors, float).T
    require_finite(path, "space origin", origin)
    steps = np.linalg.norm(columns, axis=0)
    require_spacing(path, tuple(float(step) for step in steps))
    signs = np.array(TO_LPS.get(fields.get("space", "").lower(), (1.0, 1.0, 1.0)))
    affine = np.eye(4)
    affine[:3, :3] = LPS_TO_RAS @ (signs[:, None] * orthonormal(path, columns / steps)) * steps
    affine[:3, 3] = LPS_TO_RAS @ (signs * np.array(origin))
    return affine


def _integer(path: Path, fields: Mapping[str, str], name: str, default: int) -> int:
    try:
        return int(fields.get(name, default))
    except ValueError as error:
        raise DataError(f"{path}: corrupt, cannot read {name} ({error}); {AGAIN}") from None


def read_header(path: Path, stored: bytes) -> Header:
    """Read the fields up to the empty line, or to the end of a list of files.

    Raises:
        DataError: it is none, or gives a field twice.
    """
    if not stored.startswith(b"NRRD000"):
        raise DataError(f"{path}: not an NRRD file, its first bytes are wrong; {AGAIN}")
    fields: dict[str, str] = {}
    end = 0
    while end < len(stored):
        line, newline, _ = stored[end : end + 65536].partition(b"\n")
        end += len(line) + len(newline)
        text = line.decode("latin-1").strip()
        if not text:
            break
        name, colon, value = text.partition(": ")
        if colon and not text.startswith("#"):
            name = _spelt(name.lower())
            if name in fields:
                raise DataError(f"{path}: corrupt, its header gives {name!r} twice; {AGAIN}")
            fields[name] = value.strip()
            if fields.get("data file", "").startswith("LIST"):  # the file names run to the end
                listed = stored[end:].decode("latin-1").split("\n")
                names = tuple(line.strip() for line in listed if line.strip())
                return Header(fields, names, len(stored))
    return Header(fields, (), end)


def _spelt(name: str) -> str:
    """Bring two spellings of a field to one."""
    return {"datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip"}.get(
        name, name
    )
