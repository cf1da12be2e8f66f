"""Atomic file writes and folder locks; all state is written here."""

import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from volbench._utils.leftovers import clean_once, temporary_path
from volbench.errors import StorageError


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write a file so that, whatever happens, either the old or the new one is there.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    with open_atomic(path) as file:
        file.write(data.encode() if isinstance(data, str) else data)


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as JSON, the same text for the same value.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
        ValueError: a number is not finite, which JSON cannot say.
    """
    write_atomic(path, json_text(value))


def json_text(value: object) -> str:
    """Write ``value`` as JSON, the same text for the same value.

    >>> json_text({"b": 1, "a": [2]}).split()
    ['{', '"a":', '[', '2', '],', '"b":', '1', '}']

    Raises:
        ValueError: a number is not finite, which JSON cannot say.
    """
    text = _dump(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # a name of a file that is no Unicode: as an escape
        text = _dump(value, ensure_ascii=True)
    return text + "\n"


def _dump(value: object, *, ensure_ascii: bool) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=ensure_ascii, allow_nan=False)


def refused_by_disk(doing: str, error: OSError) -> StorageError:
    """What to raise where the disk is full or a folder cannot be written, with the way out."""
    return StorageError(
        f"cannot {doing}: {error.strerror or error}; free some space or choose a folder you may "
        "write to"
    )


@contextmanager
def open_atomic(path: Path) -> Iterator[BinaryIO]:
    """Open a file to write in pieces; it appears under its name when the block ends well.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    temporary = temporary_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        clean_once(path.parent)
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise refused_by_disk(f"write {path}", error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""What a file system without locks answers."""


class FolderInUseError(StorageError):
    """Another process holds the folder."""


class FolderLock:
    """Holds a folder for this process, for the length of a ``with`` block.

    The lock is the kernel's (``flock``): it ends with the process, so none is ever left behind.

    Args:
        path: The folder; made if it is missing.
        wait_s: Seconds to wait for another process that holds it.
        required: False where those who come at the same moment write the same, and the lock merely
            saves work: then a file system without locks, as some network shares are, will do.

    Raises:
        FolderInUseError: on entering, where another process holds it.
        StorageError: on entering, where the folder cannot be written.
    """

    def __init__(self, path: Path, *, wait_s: float = 0.0, required: bool = True) -> None:
        self._path = path
        self._required = required
        self._wait_s = wait_s
        self._descriptor: int | None = None

    def __enter__(self) -> "FolderLock":
        deadline = time.monotonic() + self._wait_s
        while True:
            try:
                return self._take()
            except FolderInUseError:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(0.05)

    def _take(self) -> "FolderLock":
        descriptor = None
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            self._flock(descriptor)
            # For the message of whoever comes second.
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        except OSError as error:
            refusal = self._refusal(descriptor, error)
            if descriptor is not None:
                os.close(descriptor)
            raise refusal from error
        self._descriptor = descriptor
        return self

    def _flock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if self._required or error.errno not in NO_LOCKS:
                raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._descriptor is not None
        os.close(self._descriptor)
        self._descriptor = None

    def _refusal(self, descriptor: int | None, error: OSError) -> StorageError:
        if isinstance(error, BlockingIOError) and descriptor is not None:
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
            return FolderInUseError(
                f"{self._path} is in use by process {holder}; wait until it ends, or end it"
            )
        reason = error.strerror or str(error)
        return StorageError(f"cannot lock {self._path}: {reason}; choose a folder you may write to")
