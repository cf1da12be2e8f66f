"""Temporary files of writers that were killed: removed by the next process that writes there.

A file being written is named after its process, and begins with a dot:

    .result.json.4711-83920-9f8e7d6c.tmp

Where the process is known to be gone, or the file is older than a day, it is a leftover. What a
live process is writing is never touched, whatever machine it is on.
"""

import os
import re
import shutil
import time
from contextlib import suppress
from pathlib import Path

from volbench._utils.processes import ProcessIdentity, token_has_ended

LEFT_S = 24 * 3600.0
"""Age of a file that nobody can still be writing, by the clock of this machine."""

TEMPORARY = re.compile(r"\..+\.([0-9]+(?:-[0-9]+-[0-9a-f-]+)?)\.tmp")
_cleaned: set[tuple[int, str]] = set()


def temporary_path(path: Path) -> Path:
    """Where this process writes a file before it is renamed to ``path``."""
    # The process keeps two writers of one file apart; the leading dot keeps it out of listings.
    return path.with_name(f".{path.name}.{ProcessIdentity.current().token}.tmp")


def clean_once(folder: Path) -> None:
    """Remove leftovers of a folder, the first time that this process asks."""
    key = os.getpid(), str(folder.absolute())
    if key not in _cleaned:
        _cleaned.add(key)
        clean(folder)


def clean(folder: Path) -> None:
    """Remove the temporary files of a folder whose writer is gone; what cannot be removed stays."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = TEMPORARY.fullmatch(entry.name)
            if found and (token_has_ended(found[1]) or _is_old(entry)):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                    continue
                with suppress(OSError):
                    os.unlink(entry.path)


def _is_old(entry: os.DirEntry[str]) -> bool:
    with suppress(OSError):
        return time.time() - entry.stat().st_mtime > LEFT_S
    return False
