"""Which files of a folder are the slices of its DICOM series, and what only lies beside them.

Names decide first (Thumbs.db, notes), then the first bytes: a directory, a report or a presentation
state says its class there. Whatever might be a damaged slice stays, so that reading refuses it.
"""

import os
import re
import stat
from contextlib import suppress
from pathlib import Path

from volbench.errors import DataError

BESIDE = {"thumbs.db", "desktop.ini", "dicomdir", "readme", "lockfile", "version"}
BESIDE_SUFFIXES = {
    *(".txt", ".pdf", ".md", ".xml", ".json", ".csv", ".tsv", ".html", ".htm", ".doc", ".docx"),
    *(".rtf", ".xls", ".xlsx", ".jpg", ".jpeg", ".png", ".gif", ".log", ".ini", ".db", ".exe"),
    *(".zip", ".inf", ".bat", ".yaml", ".yml", ".bak", ".lnk", ".url"),
}
"""What no slice of a series is called."""

DICOM_SUFFIXES = {".dcm", ".ima", ".dicom"}
PEEK = 1024
RAW_STARTS = (b"\x08\x00", b"\x02\x00")
"""First tags of a file that lacks the preamble."""

CLASS = re.compile(rb"\x02\x00\x02\x00UI..([0-9.]+)", re.DOTALL)
NO_IMAGES = (
    "1.2.840.10008.1.3.10",  # directory
    "1.2.840.10008.5.1.4.1.1.11.",  # presentation states
    "1.2.840.10008.5.1.4.1.1.88.",  # reports, key objects
    "1.2.840.10008.5.1.4.1.1.104.",  # documents
    "1.2.840.10008.5.1.4.1.1.481.3",  # structure sets
    "1.2.840.10008.5.1.4.1.1.481.5",  # plans
    "1.2.840.10008.5.1.4.1.1.66.1",  # registrations
)
"""Classes of objects that hold no slice, or beginnings of them."""

OTHER_KINDS = (
    *(b"PK\x03\x04", b"%PDF", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"MZ"),
    *(b"\xd0\xcf\x11\xe0", b"\x1f\x8b", b"BM", b"SQLite format 3"),
)
"""First bytes of files that are known to be something else."""


def is_dicom_file(path: Path) -> bool:
    """Whether a path names one file by the suffix of DICOM, which may hold many frames."""
    return path.suffix.lower() in DICOM_SUFFIXES and not os.path.isdir(path)


def slice_files(folder: Path) -> list[Path]:
    """Files of a DICOM folder, by name, without what is no slice; of a file, itself.

    Raises:
        DataError: it is empty or holds folders.
    """
    if is_dicom_file(folder):
        return [folder]
    slices, _ = _divided(folder)
    for path in slices:
        if os.path.isdir(path):
            raise DataError(
                f"{folder}: holds the folder {path.name}; name the folder of one DICOM series"
            )
    if not slices:
        raise DataError(f"{folder}: an empty folder; name the folder of one DICOM series")
    return slices


def beside_series(folder: Path) -> list[str]:
    """Names of what lies beside a series and is left out, hidden files aside."""
    return [path.name for path in _divided(folder)[1] if not path.name.startswith(".")]


def _divided(folder: Path) -> tuple[list[Path], list[Path]]:
    """Slices, and what lies beside them, each by name."""
    slices: list[Path] = []
    beside: list[Path] = []
    doubtful: list[tuple[Path, bytes]] = []
    for path in _listed(folder):
        if is_beside_by_name(path):
            beside.append(path)
            continue
        start = _start(path)
        if start is None or _is_dicom(start) or path.suffix.lower() in DICOM_SUFFIXES:
            (beside if start and _holds_no_image(start) else slices).append(path)
        else:
            doubtful.append((path, start))
    shapes = {_shape(path) for path in slices}
    for path, start in doubtful:
        foreign = bool(shapes) and _shape(path) not in shapes and _is_other(start)
        (beside if foreign else slices).append(path)
    return sorted(slices), sorted(beside)


def is_beside_by_name(path: Path) -> bool:
    """Whether a file is no slice by its name: of a file manager, an index, or a note."""
    name = path.name.lower()
    return name.startswith(".") or name in BESIDE or path.suffix.lower() in BESIDE_SUFFIXES


def _shape(path: Path) -> str:
    """A name without its numbers: slices of an export share it."""
    return re.sub(r"\d+", "0", path.name)


def _is_dicom(start: bytes) -> bool:
    return start[128:132] == b"DICM" or start[:2] in RAW_STARTS


def _holds_no_image(start: bytes) -> bool:
    found = CLASS.search(start)
    return found is not None and found[1].decode("ascii").startswith(NO_IMAGES)


def _is_other(start: bytes) -> bool:
    """Text, or a kind of file that is known."""
    if start.startswith(OTHER_KINDS):
        return True
    with suppress(UnicodeDecodeError):
        text = start[: -4 or None].decode("utf-8") if len(start) == PEEK else start.decode("utf-8")
        return all(one.isprintable() or one.isspace() for one in text)
    return False


def _start(path: Path) -> bytes | None:
    """The first bytes; None of what is no regular file or cannot be read, which reading says."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        return os.read(number, PEEK) if stat.S_ISREG(os.fstat(number).st_mode) else None
    except OSError:
        return None
    finally:
        os.close(number)


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror or error})") from None
