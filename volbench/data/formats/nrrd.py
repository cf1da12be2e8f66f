"""NRRD files, attached and detached, byte by byte (teem.sourceforge.net/nrrd/format.html)."""

import bz2
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from volbench.data.formats.file_bytes import AGAIN, gunzip, require_bytes, require_spacing
from volbench.errors import DataError

_NAMES = {
    1: "signed char, int8, int8_t, uchar, unsigned char, uint8, uint8_t",
    2: "short, short int, signed short, signed short int, int16, int16_t, ushort, unsigned short, "
    "unsigned short int, uint16, uint16_t",
    4: "int, signed int, int32, int32_t, uint, unsigned int, uint32, uint32_t, float",
    8: "longlong, long long, long long int, signed long long, signed long long int, int64, "
    "int64_t, ulonglong, unsigned long long, unsigned long long int, uint64, uint64_t, double",
}
TYPE_BYTES = {name: size for size, names in _NAMES.items() for name in names.split(", ")}


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
    header = _header(path, stored)
    named = header.fields.get("data file", "")
    words = named.split()
    if not named:
        return ()
    if words[0] == "LIST":
        names: Sequence[str] = header.listed
    elif len(words) >= 4 and "%" in words[0]:
        try:
            first, last, step = (int(word) for word in words[1:4])
            names = [words[0] % number for number in range(first, last + step, step)]
        except (ValueError, TypeError):
            raise DataError(f"{path}: cannot read its data file {named!r}; {AGAIN}") from None
    else:
        names = [named]
    return tuple(path.parent / name for name in names)


def verify(path: Path, stored: bytes, parts: Sequence[bytes]) -> None:
    """Refuse a file that is not whole, or whose spacing is not a positive number.

    Args:
        path: The header's file, for messages.
        stored: Its content.
        parts: Content of the files that ``data_files`` names.

    Raises:
        DataError: with the file's name and what is wrong.
    """
    header = _header(path, stored)
    _verify_spacing(path, header.fields)
    try:
        sizes = [int(word) for word in header.fields["sizes"].split()]
        voxel_bytes = TYPE_BYTES[header.fields["type"].lower()]
        skip = int(header.fields.get("byte skip", "0"))
        lines = int(header.fields.get("line skip", "0"))
    except (KeyError, ValueError) as error:
        raise DataError(f"{path}: corrupt, its header lacks {error}; {AGAIN}") from None
    names = data_files(path, stored) or (path,)
    payloads = list(parts) or [stored[header.end :]]
    encoding = header.fields.get("encoding", "raw").lower()
    for name, payload in zip(names, payloads, strict=True):
        found = _decoded_bytes(name, payload, encoding, voxel_bytes, lines)
        needed = math.prod(sizes) * voxel_bytes // len(names)
        require_bytes(name, found - max(skip, 0), needed)


def _decoded_bytes(path: Path, payload: bytes, encoding: str, voxel_bytes: int, lines: int) -> int:
    """Length in bytes of the voxels once decoded."""
    for _ in range(lines):
        payload = payload.partition(b"\n")[2]
    match encoding:
        case "raw":
            return len(payload)
        case "gzip" | "gz":
            return len(gunzip(path, payload))
        case "bzip2" | "bz2":
            try:
                return len(bz2.decompress(payload))
            except (OSError, ValueError):
                raise DataError(f"{path}: its bzip2 stream is not whole; {AGAIN}") from None
        case "text" | "txt" | "ascii":
            return len(payload.split()) * voxel_bytes
        case "hex":
            return len(b"".join(payload.split())) // 2
        case _:
            raise DataError(f"{path}: unknown encoding {encoding!r}; save it as raw or gzip")


def _verify_spacing(path: Path, fields: Mapping[str, str]) -> None:
    try:
        if "space directions" in fields:
            vectors = fields["space directions"].replace("none", "").split(")")
            steps = [
                math.hypot(*(float(number) for number in vector.strip(" (").split(",")))
                for vector in vectors
                if vector.strip(" (")
            ]
        else:
            steps = [float(word) for word in fields.get("spacings", "").split()]
    except ValueError:
        raise DataError(f"{path}: cannot read the spacing in its header; {AGAIN}") from None
    if not steps:
        raise DataError(f"{path}: its header gives no spacing; export it again with its spacing")
    require_spacing(path, tuple(steps))


def _header(path: Path, stored: bytes) -> Header:
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
            name = name.lower()
            fields[{"datafile": "data file"}.get(name, name)] = value.strip()
            if fields.get("data file", "").startswith("LIST"):  # the file names run to the end
                listed = stored[end:].decode("latin-1").split("\n")
                return Header(
                    fields, tuple(line.strip() for line in listed if line.strip()), len(stored)
                )
    return Header({_spelt(name): value for name, value in fields.items()}, (), end)


def _spelt(name: str) -> str:
    """Bring the two spellings of the skip fields to one."""
    return {"lineskip": "line skip", "byteskip": "byte skip"}.get(name, name)
