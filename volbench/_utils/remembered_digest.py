"""SHA-256 of files that people named, remembered between processes: each is hashed once."""

import hashlib
import json
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from volbench._utils.cache_location import cache_root
from volbench._utils.digested_files import read_sealed, write_sealed
from volbench._utils.file_state import FileState
from volbench.errors import StateError, StorageError

MEMORY = "content_digests.json"
VERSION = 1


def remembered_digest(path: Path) -> str:
    """SHA-256 of a file's content; as long as the file is unchanged, a ``stat`` stands for it.

    Its inode, time of change (ctime) and size are kept beside the digest in the cache. A memory
    that is missing, damaged or of another version costs reading the file once more.

    Args:
        path: A regular file.

    Raises:
        OSError: it is missing or cannot be read.
    """
    state = FileState.of(path)
    memory = cache_root() / MEMORY
    return _remembered(path.absolute(), state, memory if state.settle() else None)


@lru_cache(maxsize=64)
def _remembered(path: Path, state: FileState, memory: Path | None) -> str:
    """Ask this process, then the memory; None where a change of the file may not show yet."""
    if memory is None:
        return _hash(path)
    # Which file it is, without telling where it lies.
    key = hashlib.sha256(str(path).encode(errors="surrogateescape")).hexdigest()
    match _recall(memory).get(key):
        case {"state": stored, "sha256": str(digest)} if stored == list(state.values()):
            return digest
    digest = _hash(path)
    if FileState.of(path) == state:  # else it was changed while it was read
        learned = {key: {"state": state.values(), "sha256": digest}}
        # Only a shortcut: a cache that may be read but not written still serves.
        with suppress(StorageError):
            content = {"version": VERSION, "known": {**_recall(memory), **learned}}
            write_sealed(memory, json.dumps(content).encode())
    return digest


def _recall(memory: Path) -> dict[str, Any]:
    try:
        stored = json.loads(read_sealed(memory))
        known: dict[str, Any] = stored["known"] if stored["version"] == VERSION else {}
    except (StateError, ValueError, KeyError, TypeError):
        return {}
    return known


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
