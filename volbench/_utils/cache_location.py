"""Location of the cache on this machine."""

import os
from pathlib import Path


def cache_root() -> Path:
    """The folder of all caches: $VOLBENCH_CACHE, else volbench in the user's cache folder."""
    if chosen := os.environ.get("VOLBENCH_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "volbench"
