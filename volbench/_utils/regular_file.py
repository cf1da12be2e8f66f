"""Read files that a person named: never a pipe, a device or a socket, which may have no end."""

import errno
import os
import stat
from pathlib import Path

LARGEST_BYTES = 2**31
"""No table and no recipe is larger."""


def require_regular(path: Path) -> None:
    """Refuse what is no regular file.

    Raises:
        OSError: likewise.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "not a regular file (a device or a pipe)", str(path))


def read_regular(path: Path, *, most: int = LARGEST_BYTES) -> bytes:
    """The content of a regular file, without waiting for a writer where it is a pipe.

    Raises:
        OSError: it cannot be opened, is no regular file, or is larger than ``most``; its
            ``strerror`` says so.
    """
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        status = os.fstat(file.fileno())
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file (a device or a pipe)", str(path))
        if status.st_size > most:
            raise OSError(errno.EFBIG, f"larger than {most} bytes", str(path))
        return file.read()
