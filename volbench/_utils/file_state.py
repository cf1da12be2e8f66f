"""Whether a file is still the one that was read, at the cost of a ``stat``.

Name, size and time of modification do not tell: ``cp -p``, ``rsync -t``, ``unzip`` and
``os.utime`` put other content under all three. The kernel's own time of change (ctime) cannot be
set by anyone, and a file that was replaced has another inode. Where a file system keeps no ctime
(FAT, some network mounts), what it reports is its time of modification, and counts for no more.
"""

import time
from dataclasses import astuple, dataclass
from pathlib import Path

TICK_NS = 20_000_000
"""What kernels stamp with is up to 10 ms old: a second write within it may go unseen."""

COARSE_NS = 2_000_000_000
"""The same of file systems that keep whole seconds, or every other one."""


@dataclass(frozen=True)
class FileState:
    """What changes whenever a file's content does.

    Attributes:
        inode: Number of the file on its file system.
        changed_ns: Its time of change (ctime).
        size: In bytes.
    """

    inode: int
    changed_ns: int
    size: int

    @classmethod
    def of(cls, path: Path) -> "FileState":
        """Look, following links.

        Raises:
            OSError: it is missing or may not be looked at.
        """
        status = path.stat()
        return cls(status.st_ino, status.st_ctime_ns, status.st_size)

    def settle(self) -> bool:
        """Wait until a change from now on would show, where that is a matter of milliseconds.

        Returns:
            Whether it would: not yet where the file system keeps whole seconds, or where the clock
            that stamps its files is ahead of ours.
        """
        needed = COARSE_NS if self.changed_ns % 1_000_000_000 == 0 else TICK_NS
        left = self.changed_ns + needed - time.time_ns()
        if 0 < left <= TICK_NS:
            time.sleep(left / 1e9)
        return left <= TICK_NS

    def values(self) -> tuple[int, int, int]:
        """As JSON holds it."""
        inode, changed_ns, size = astuple(self)
        return inode, changed_ns, size
