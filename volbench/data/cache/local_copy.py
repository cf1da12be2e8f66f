"""Copies of prepared data on a machine's own disk, one for all processes of that machine.

A shared disk is slow and shared by all; a node's own is neither. The first process copies the
folder beside its final name, compares every voxel with its checksum, and renames it: so a copy that
is there is whole. The others wait for it. The lock is the kernel's, which a local disk has.
"""

import os
import shutil
import time
from pathlib import Path

from volbench._utils.atomic_io import FolderInUseError, FolderLock
from volbench.data.cache.packed_voxels import content_digest, open_prepared, read_content
from volbench.errors import StateError, StorageError

WAIT_S = 3600.0
"""So long may copying take another process."""


def copy_here(folder: Path, place: Path) -> tuple[Path, str]:
    """Copy prepared data to a folder of this machine's own disk, unless they are there.

    Args:
        folder: The prepared data, as on the shared disk.
        place: Folder of the local disk; made if it is missing.

    Returns:
        The folder to read; and, where that is the shared one after all, why, in one line.
    """
    began = time.perf_counter()
    try:
        target = place.expanduser() / f"volbench-{_name(folder)}"
        if not target.is_dir():
            with FolderLock(target.with_name(f".{target.name}"), wait_s=WAIT_S):
                if not target.is_dir():
                    _copy(folder, target)
        open_prepared(target)
    except FolderInUseError:
        waited = time.perf_counter() - began
        return folder, _instead(place, f"another process has been copying for {waited:.0f} s")
    except (OSError, StorageError, StateError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return folder, _instead(place, reason)
    return target, ""


def _name(folder: Path) -> str:
    """Digest of the index, which holds the digest of every case: the name of what lies there."""
    return content_digest(read_content(folder))[:32]


def _copy(folder: Path, target: Path) -> None:
    """Copy and compare; nothing is left of a copy that is cut off or damaged."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    for left in target.parent.glob(f".{target.name}.*.tmp"):  # of a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    try:
        files = [path for path in folder.iterdir() if path.is_file() and path.name[0] != "."]
        needed = sum(path.stat().st_size for path in files)
        free = shutil.disk_usage(target.parent).free
        if needed > free:
            raise StorageError(f"{needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB free")
        temporary.mkdir()
        for path in files:
            shutil.copyfile(path, temporary / path.name)
        open_prepared(temporary).check()
        os.rename(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _instead(place: Path, reason: str) -> str:
    return f"no local copy in {place} ({reason}); the shared folder is read instead"
