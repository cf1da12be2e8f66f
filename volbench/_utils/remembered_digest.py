"""SHA-256 of files that people named, remembered between processes: each is hashed once."""

import hashlib
from functools import lru_cache
from pathlib import Path

from volbench._utils.cache_location import cache_root
from volbench._utils.digest_memory import recall, remember
from volbench._utils.file_state import FileState

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
    match recall(memory, VERSION).get(key):
        case {"state": stored, "sha256": str(digest)} if stored == list(state.values()):
            return digest
    digest = _hash(path)
    if FileState.of(path) == state:  # else it was changed while it was read
        remember(memory, VERSION, {key: {"state": state.values(), "sha256": digest}})
    return digest


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
