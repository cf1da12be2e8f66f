"""Free memory that the allocator keeps, given back to the system.

Between two volumes, small results are allocated that stay. glibc keeps the holes that the volumes
leave: a process that reads thousands of them grew by half a megabyte with each.
"""

import ctypes
import platform
from functools import lru_cache

EVERY = 16
"""Volumes after which it is done: it takes milliseconds at most, and so many holes are few."""


@lru_cache(maxsize=1)
def glibc() -> ctypes.CDLL | None:
    """The C library, whose allocator can be told what to do; None where it is another."""
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None


def give_back() -> None:
    """Return what is free to the system, where the allocator is glibc's."""
    if libc := glibc():
        libc.malloc_trim(0)
