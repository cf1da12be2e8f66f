"""MetaImage files (.mha, .mhd), checked byte by byte (itk.org/Wiki/ITK/MetaIO/Documentation).

The reader behind SimpleITK returns garbage for a zlib stream that breaks.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from volbench.data.formats.file_bytes import AGAIN, inflate, require_bytes, require_spacing
from volbench.errors import DataError

TYPE_BYTES = {
    "MET_CHAR": 1,
    "MET_UCHAR": 1,
    "MET_SHORT": 2,
    "MET_USHORT": 2,
    "MET_INT": 4,
    "MET_UINT": 4,
    "MET_LONG": 4,
    "MET_ULONG": 4,
    "MET_LONG_LONG": 8,
    "MET_ULONG_LONG": 8,
    "MET_FLOAT": 4,
    "MET_DOUBLE": 8,
}


@dataclass(frozen=True)
class Header:
    """The fields of a header, and where it ends in its file."""

    fields: Mapping[str, str]
    end: int


def data_files(path: Path, stored: bytes) -> tuple[Path, ...]:
    """Files that hold the voxels, where the header does not.

    Raises:
        DataError: the header cannot be read.
    """
    header = _header(path, stored)
    named = header.fields["ElementDataFile"]
    words = named.split()
    if named.upper() == "LOCAL":
        return ()
    if words[0].upper() == "LIST":
        listed = stored[header.end :].decode("latin-1").split("\n")
        names = [line.strip() for line in listed if line.strip()]
    elif len(words) >= 3 and "%" in words[0]:
        try:
            first, last, step = (int(word) for word in [*words[1:], "1"][:3])
            names = [words[0] % number for number in range(first, last + 1, step)]
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
    fields = header.fields
    try:
        spacing = fields.get("ElementSpacing") or fields.get("ElementSize", "")
        steps = tuple(float(word) for word in spacing.split())
        sizes = [int(word) for word in fields["DimSize"].split()]
        voxel_bytes = TYPE_BYTES[fields["ElementType"].removesuffix("_ARRAY")]
        channels = int(fields.get("ElementNumberOfChannels", "1"))
        skip = max(int(fields.get("HeaderSize", "0")), 0)
    except (KeyError, ValueError) as error:
        raise DataError(f"{path}: corrupt, cannot read {error} in its header; {AGAIN}") from None
    if not steps:
        raise DataError(f"{path}: its header gives no spacing; export it again with its spacing")
    require_spacing(path, steps)
    names = data_files(path, stored) or (path,)
    payloads = list(parts) or [stored[header.end :]]
    needed = math.prod(sizes) * channels * voxel_bytes // len(names)
    for name, payload in zip(names, payloads, strict=True):
        voxels = payload[skip:]
        if fields.get("CompressedData", "False").lower() == "true":
            require_bytes(name, len(inflate(name, voxels)), needed)
        elif fields.get("BinaryData", "True").lower() == "false":
            require_bytes(name, len(voxels.split()) * voxel_bytes, needed)
        else:
            require_bytes(name, len(voxels), needed)


def _header(path: Path, stored: bytes) -> Header:
    """Read up to the line that says where the voxels are; it is always the last one."""
    fields: dict[str, str] = {}
    end = 0
    while end < len(stored) and "ElementDataFile" not in fields:
        line, newline, _ = stored[end : end + 65536].partition(b"\n")
        end += len(line) + len(newline)
        name, equals, value = line.decode("latin-1").partition("=")
        if not equals:
            break
        fields[name.strip()] = value.strip()
    if not fields.get("ElementDataFile"):
        raise DataError(f"{path}: not a MetaImage file, its header is wrong; {AGAIN}")
    return Header(fields, end)
