"""Content fingerprints of cases, hashed once: an unchanged file then costs a ``stat``."""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from volbench._utils.digest_memory import recall, remember
from volbench._utils.file_state import FileState
from volbench.data.formats.integrity import files_of
from volbench.data.formats.series_files import slice_files
from volbench.data.subjects.read import plain_paths
from volbench.errors import DataError
from volbench.interfaces import Case, Files, SubjectSource

VERSION = 2
"""Raised whenever unchanged files get another fingerprint, or are told apart by other means."""

Known = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class _State:
    """The files of a case as they lie on the disk.

    Attributes:
        digest: Of their names, inodes, times of change and sizes; other for any other content.
        parts: Paths of the further files that the headers among them point at, image by image.
        is_settled: Whether a later change would show.
    """

    digest: str
    parts: tuple[tuple[str, ...], ...]
    is_settled: bool


def fingerprints_of(cases: Sequence[Case], memory: Path, *, jobs: int) -> list[str]:
    """Fingerprint every case.

    Args:
        cases: In any order.
        memory: File of what is known already, by the files' paths, inodes, times of change (ctime)
            and sizes. One that is missing, damaged or of an older version costs reading once.
        jobs: How many cases are read at a time.

    Raises:
        DataError: a file is missing or cannot be read.
    """
    from volbench.data.reading import fingerprint

    known: Known = recall(memory, VERSION)
    keys = [_key(case) for case in cases]
    states = [_state(case, known.get(key)) for case, key in zip(cases, keys, strict=True)]
    missing = {
        index: case
        for index, (case, state) in enumerate(zip(cases, states, strict=True))
        if state is None or known.get(keys[index], {}).get("state") != state.digest
    }
    # Hashing releases the interpreter's lock, so threads do.
    with ThreadPoolExecutor(jobs) as pool:
        found = dict(zip(missing, pool.map(fingerprint, missing.values()), strict=True))
    learned = {
        keys[index]: {"state": state.digest, "parts": state.parts, "fingerprint": text}
        for index, text in found.items()
        if (state := states[index]) and state.is_settled and _state(cases[index], None) == state
    }
    if learned:
        remember(memory, VERSION, learned)
    return [found.get(index) or known[keys[index]]["fingerprint"] for index in range(len(cases))]


def data_digest(cases: Sequence[Case], fingerprints: Sequence[str]) -> str:
    """SHA-256 over all that makes a data set: the same for any order of its cases."""
    rows = sorted(
        [case.name, case.patient, case.label, sorted(case.representative), fingerprint]
        for case, fingerprint in zip(cases, fingerprints, strict=True)
    )
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()


def _key(case: Case) -> str:
    """Which files, read how: what a remembered fingerprint belongs to."""
    paths = _paths(case)
    if paths is None:
        return ""
    names = [str(path.absolute()) if path else "" for path in paths]
    plane = geometry = None
    if isinstance(case.source, Files | SubjectSource):
        plane, geometry = case.source.plane, case.source.geometry
    text = json.dumps([names, plane, case.representative, *([geometry] if geometry else [])])
    return hashlib.sha256(text.encode()).hexdigest()


def _state(case: Case, known: dict[str, Any] | None) -> _State | None:
    """Look at the files of a case; None for what has none.

    What is known spares reading a header for the names of its parts: as long as the header is the
    same, they are, too; and if it is not, the state is another anyway.
    """
    paths = [path for path in _paths(case) or () if path is not None]
    if not paths:
        return None
    remembered = known["parts"] if known else [None] * len(paths)
    try:
        parts = [_parts(path, names) for path, names in zip(paths, remembered, strict=True)]
        files = [file for path, names in zip(paths, parts, strict=True) for file in (path, *names)]
        states = [(file.name, FileState.of(file)) for file in files if not file.is_dir()]
    except OSError as error:
        raise DataError(
            f"case {case.name}: {error.strerror}: {error.filename}; correct its path"
        ) from error
    text = json.dumps([[name, *state.values()] for name, state in states])
    return _State(
        digest=hashlib.sha256(text.encode()).hexdigest(),
        parts=tuple(
            () if path.is_dir() else tuple(str(file.absolute()) for file in files)
            for path, files in zip(paths, parts, strict=True)
        ),
        is_settled=all(state.settle() for _, state in states),
    )


def _parts(path: Path, known: Sequence[str] | None) -> tuple[Path, ...]:
    """Files of an image beside the one that is named: slices, or what a header points at."""
    if path.is_dir():
        return tuple(slice_files(path))
    return tuple(files_of(path)[1:]) if known is None else tuple(map(Path, known))


def _paths(case: Case) -> list[Path | None] | None:
    """Files of the images, then of the mask; None where voxels do not come from files alone."""
    match case.source:
        case Files(images=images, mask=mask):
            return [*images, mask]
        case SubjectSource() as source:
            return plain_paths(source)
        case _:
            return None
