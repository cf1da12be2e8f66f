"""Shared lock on a run folder, held by several tuning processes at once.

A trial that is said to run while no process holds the folder was cut off. The kernel holds the lock
and releases it with the process, so the first process can tell at once, without waiting for missed
heartbeats.
"""

import fcntl
import os
import socket
from pathlib import Path

from volbench.errors import StorageError

LOCK = ".lock"
"""The same that a run takes for itself, so that no run can hold it at the same time."""


class SharedLock:
    """Hold a run folder together with other tuning processes, for a ``with`` block.

    Args:
        path: The run folder; made if it is missing.

    Attributes:
        exclusive: Whether no other process held the folder on entering; others wait until
            `downgrade`.

    Raises:
        StorageError: on entering, where the folder cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.exclusive = False
        self._descriptor = -1

    @property
    def name(self) -> str:
        """Name of this folder on this machine."""
        return f"{socket.gethostname()}:{self.path.resolve()}"

    def __enter__(self) -> "SharedLock":
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._descriptor = os.open(self.path / LOCK, flags, 0o666)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.exclusive = True
            except BlockingIOError:
                fcntl.flock(self._descriptor, fcntl.LOCK_SH)
        except OSError as error:
            reason = error.strerror or str(error)
            raise StorageError(
                f"cannot lock {self.path}: {reason}; choose a folder you may write to"
            ) from error
        return self

    def downgrade(self) -> None:
        """Let others in, once what only one may do is done."""
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
