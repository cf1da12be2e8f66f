"""Faults of a file system, at the n-th operation that changes what lies under a folder.

Only for a forked child: what is put in place of `open`, `os.rename` and the like stays there.
"""

import builtins
import errno
import io
import os
import signal
from pathlib import Path
from typing import Any, Literal, NoReturn

Fault = Literal["none", "kill", "torn", "ENOSPC", "EIO"]
WRITES = ("open", "write", "fsync", "rename", "mkdir", "link")
"""Operations that a full or broken disk refuses; removing works on both."""


class FaultyFiles:
    """Counts operations under ``root`` and does one of them badly.

    Args:
        root: What lies elsewhere is left alone.
        fault: ``kill`` ends the process before the operation, as ``kill -9`` does; ``torn`` writes
            half first; ``ENOSPC`` refuses it and all that follow; ``EIO`` refuses this one.
        at: Number of the operation, from 0.

    Attributes:
        log: Kind and name of each operation.
    """

    def __init__(self, root: Path, fault: Fault = "none", at: int = -1) -> None:
        self.root = os.path.realpath(root)
        self.fault, self.at = fault, at
        self.log: list[tuple[str, str]] = []

    def install(self) -> "FaultyFiles":
        """Put the faults in place."""
        opens = io.open
        for name, kind in (
            *(("rename", "rename"), ("replace", "rename"), ("link", "link"), ("mkdir", "mkdir")),
            *(("unlink", "unlink"), ("remove", "unlink"), ("rmdir", "unlink")),
        ):
            setattr(os, name, self._watched(kind, getattr(os, name)))
        # Of those that are killed nothing is lost that was not synced: that takes a power cut.
        os.fsync = self._watched("fsync", lambda descriptor: None)

        def faulty_open(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if not set(mode) & set("wax+") or not self._is_ours(file):
                return opens(file, mode, *args, **kwargs)
            self._step("open", file)
            return FaultyFile(opens(file, mode, *args, **kwargs), self, file)

        io.open = builtins.open = faulty_open
        return self

    def _watched(self, kind: str, function: Any) -> Any:
        def call(path: Any, *args: Any, **kwargs: Any) -> Any:
            if self._is_ours(path):
                self._step(kind, path)
            return function(path, *args, **kwargs)

        return call

    def _is_ours(self, path: Any) -> bool:
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        return os.path.abspath(os.fspath(path)).startswith(self.root)

    def _step(self, kind: str, path: Any, half: Any = None) -> None:
        number = len(self.log)
        self.log.append((kind, str(path)))
        if number < self.at or (number > self.at and self.fault != "ENOSPC") or self.at < 0:
            return
        if self.fault in ("kill", "torn"):
            if self.fault == "torn" and half is not None:
                half()
            die()
        if kind in WRITES:
            if half is not None:
                half()
            code = getattr(errno, self.fault)
            raise OSError(code, os.strerror(code), str(path))


class FaultyFile:
    """A file that is written through `FaultyFiles`."""

    def __init__(self, file: Any, faults: FaultyFiles, path: Any) -> None:
        self._file, self._faults, self._path = file, faults, path

    def write(self, content: Any) -> int:
        """Write, or write half."""

        def half() -> None:
            self._file.write(content[: len(content) // 2])
            self._file.flush()

        self._faults._step("write", self._path, half)
        return int(self._file.write(content))

    def __enter__(self) -> "FaultyFile":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def die() -> NoReturn:
    """End this process as ``kill -9`` does."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError
