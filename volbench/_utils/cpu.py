"""CPU cores and memory available to this process; imports nothing heavy."""

import os


def available_cores() -> int:
    """CPU cores this process may use, as the system reports them; all cores otherwise."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
