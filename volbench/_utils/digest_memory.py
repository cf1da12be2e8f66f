"""What is remembered of files between processes, in a sealed JSON file of the cache.

Only a shortcut: a memory that is missing, damaged or of another version knows nothing, and a cache
that may be read but not written still serves.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from volbench._utils.digested_files import read_sealed, write_sealed
from volbench.errors import StateError, StorageError


def recall(memory: Path, version: int) -> dict[str, Any]:
    """All that `remember` has kept under this version, by key."""
    try:
        stored = json.loads(read_sealed(memory))
        known = stored["known"] if stored["version"] == version else None
    except (StateError, ValueError, KeyError, TypeError):
        return {}
    return known if isinstance(known, dict) else {}


def remember(memory: Path, version: int, learned: Mapping[str, Any]) -> None:
    """Keep values beside those that are there, which other processes may have added meanwhile."""
    content = {"version": version, "known": {**recall(memory, version), **learned}}
    with suppress(StorageError):
        write_sealed(memory, json.dumps(content).encode())
