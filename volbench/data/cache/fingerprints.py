"""Content fingerprints of cases, cached by file."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from volbench._utils.atomic_io import write_json
from volbench.data.formats.integrity import files_of
from volbench.errors import DataError, StorageError
from volbench.interfaces import Case, Files

VERSION = 1
"""Raised whenever unchanged files get another fingerprint."""


def fingerprints_of(cases: Sequence[Case], memory: Path, *, jobs: int) -> list[str]:
    """Fingerprint every case.

    Args:
        cases: In any order.
        memory: JSON file of what is known already, by the files' paths, sizes and times of change.
        jobs: How many cases are read at a time.

    Raises:
        DataError: a file is missing or cannot be read.
    """
    from volbench.data.reading import fingerprint

    known = _recall(memory)
    keys = [_key(case) for case in cases]
    states = [_state(case) for case in cases]
    missing = {
        index: case
        for index, case in enumerate(cases)
        if states[index] is None or known.get(keys[index], {}).get("state") != states[index]
    }
    # Hashing releases the interpreter's lock, so threads do.
    with ThreadPoolExecutor(jobs) as pool:
        found = dict(zip(missing, pool.map(fingerprint, missing.values()), strict=True))
    learned = {
        keys[index]: {"state": states[index], "fingerprint": text}
        for index, text in found.items()
        if states[index] is not None
    }
    if learned:
        # Only a shortcut: a cache that may be read but not written still serves.
        with suppress(StorageError):
            write_json(memory, {"version": VERSION, "known": {**_recall(memory), **learned}})
    return [found.get(index) or known[keys[index]]["fingerprint"] for index in range(len(cases))]


def data_digest(cases: Sequence[Case], fingerprints: Sequence[str]) -> str:
    """SHA-256 over all that makes a data set: the same for any order of its cases."""
    rows = sorted(
        [case.name, case.patient, case.label, sorted(case.representative), fingerprint]
        for case, fingerprint in zip(cases, fingerprints, strict=True)
    )
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()


def _recall(memory: Path) -> dict[str, dict[str, str]]:
    try:
        stored = json.loads(memory.read_text(encoding="utf-8"))
        known: dict[str, dict[str, str]] = stored["known"] if stored["version"] == VERSION else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # forgotten at worst: everything is hashed again
    return known


def _key(case: Case) -> str:
    """Which files, read how: what a remembered fingerprint belongs to."""
    if not isinstance(case.source, Files):
        return ""
    paths = [str(path.absolute()) for path in _paths(case.source)]
    text = json.dumps([paths, bool(case.source.mask), case.source.plane, case.representative])
    return hashlib.sha256(text.encode()).hexdigest()


def _state(case: Case) -> str | None:
    """Sizes and times of change of a case's files; None for what has no files."""
    if not isinstance(case.source, Files):
        return None
    try:
        found = [entry for path in _paths(case.source) for entry in _entries(path)]
    except OSError as error:
        raise DataError(
            f"case {case.name}: {error.strerror}: {error.filename}; correct its path"
        ) from error
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def _paths(source: Files) -> tuple[Path, ...]:
    return source.images if source.mask is None else (*source.images, source.mask)


def _entries(path: Path) -> Iterator[tuple[str, int, int]]:
    # A detached header does not change when the file of its voxels does.
    for part in [path] if path.is_dir() else [path, *files_of(path)[1:]]:
        status = part.stat()
        yield part.name, status.st_size, status.st_mtime_ns
    if path.is_dir():
        for folder, folders, files in os.walk(path):
            folders.sort()
            for name in sorted(files):
                status = (Path(folder) / name).stat()
                yield name, status.st_size, status.st_mtime_ns
