"""Files of our own that carry their digest in their first line: damage is seen, never believed.

Run folders have a manifest of digests beside their files (``volbench.runs.sealing``), because
people read and share those. This is for what lies in a cache, alone, and can be made again.
"""

import hashlib
from pathlib import Path

from volbench._utils.atomic_io import write_atomic
from volbench.errors import StateError

MAGIC = b"volbench sealed sha256 "


def write_sealed(path: Path, content: bytes) -> None:
    """Write a file with its digest.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    write_atomic(path, MAGIC + _digest(content) + b"\n" + content)


def read_sealed(path: Path) -> bytes:
    """The content of a file that ``write_sealed`` wrote; one without a digest is refused.

    Raises:
        StateError: it is missing, was changed, or nothing vouches for it.
    """
    try:
        stored = path.read_bytes()
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}") from None
    first, _, content = stored.partition(b"\n")
    if first != MAGIC + _digest(content):
        raise StateError(f"{path} is damaged: it is not what its digest says; delete it")
    return content


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
