"""CPU cores and memory available to this process; imports nothing heavy."""

import os


def available_cores() -> int:
    """CPU cores this process may use, where the system tells; else all there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
