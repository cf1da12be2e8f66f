"""Have a child read what volbench's own gate does not bound, with limits of time and memory.

One child serves a process for all its images: starting one takes as long as reading many. It ends
with its parent, whichever way that ends.
"""

import atexit
import json
import math
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from volbench.data.formats.file_bytes import AGAIN, require_openable
from volbench.data.formats.integrity import files_of
from volbench.data.formats.itk_image import StoredVolume
from volbench.errors import DataError

SECONDS, SECONDS_PER_MB, SECONDS_PER_FILE = 4.0, 1.0, 0.02
"""CPU time that reading may take; what is sound takes a tenth of it."""
BYTES, BYTES_PER_BYTE = 600 * 2**20, 64
"""Memory that reading may take."""
WAIT_S, WAIT_RATIO = 120.0, 20.0
"""Time until an answer, beyond which the disk is taken for dead."""
START_S = 120.0
ENV = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1",
}


def read_bounded(kind: str, path: Path) -> StoredVolume:
    """Read an image in the child of this process.

    Args:
        kind: ``dicom`` or ``unverified``.
        path: A file or a folder.

    Raises:
        DataError: as reading it here would, or it takes more time or memory than its size explains.
    """
    files = files_of(path)
    size = sum(require_openable(file) for file in files)
    seconds = SECONDS + SECONDS_PER_MB * size / 2**20 + SECONDS_PER_FILE * len(files)
    where = str(path.absolute())
    task: dict[str, Any] = {
        "kind": kind,
        "path": where,
        "seconds": seconds,
        "bytes": BYTES + BYTES_PER_BYTE * size,
    }
    with _LOCK:
        try:
            answer, voxels = _child().ask(task, WAIT_S + WAIT_RATIO * seconds)
        except _NoAnswerError:
            _forget()
            raise DataError(
                f"{path}: cannot be read, it takes more than {seconds:.0f} s or ends the library "
                f"that reads it; {AGAIN}, or convert it to NIfTI"
            ) from None
    if voxels is not None:
        return StoredVolume(voxels, np.array(answer["affine"], float), str(answer["digest"]))
    if answer.get("memory"):
        raise DataError(
            f"{path}: cannot be read, it takes more memory than {size} bytes explain; {AGAIN}, or "
            "convert it to NIfTI"
        )
    raise DataError(
        str(answer.get("error") or f"{path}: cannot be read ({answer['reason']})").replace(
            where, str(path)
        )
    )


class _NoAnswerError(Exception):
    """The child gave no answer."""


class _Child:
    """A process that reads images one after another."""

    def __init__(self) -> None:
        read, write = os.pipe()
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            f"from volbench.data.formats.reading_process import main; main({write})"
        )
        self.owner = os.getpid()
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[write],
            env={**os.environ, **ENV},
        )
        os.close(write)
        self.answers = os.fdopen(read, "rb")
        self.is_new = True

    def ask(self, task: dict[str, Any], wait_s: float) -> tuple[dict[str, Any], Any]:
        """Send a task; its answer, and the voxels if there are any.

        Raises:
            _NoAnswerError: no answer, or none in time.
        """
        assert self.process.stdin is not None  # it is a pipe
        try:
            self.process.stdin.write(json.dumps(task).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise _NoAnswerError from None
        deadline = time.monotonic() + wait_s + (START_S if self.is_new else 0)
        self.is_new = False
        while not select.select([self.answers], [], [], 1.0)[0]:
            if time.monotonic() > deadline:
                raise _NoAnswerError
        line = self.answers.readline()
        if not line.endswith(b"\n"):
            raise _NoAnswerError
        answer: dict[str, Any] = json.loads(line)
        if "shape" not in answer:
            return answer, None
        kind = np.dtype(answer["kind"])
        content = bytearray(math.prod(answer["shape"]) * kind.itemsize)
        if self.answers.readinto(content) != len(content):
            raise _NoAnswerError
        return answer, np.frombuffer(content, kind).reshape(answer["shape"]).T

    def end(self) -> None:
        """End it; one that a fork of this process inherited is left to its owner."""
        if self.owner != os.getpid():
            self.process.returncode = 0  # not ours to wait for
            return
        self.process.kill()
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.answers.close()


_LOCK = threading.Lock()
_children: list[_Child] = []


def _child() -> _Child:
    if _children and (_children[0].owner != os.getpid() or _children[0].process.poll() is not None):
        _forget()
    if not _children:
        _children.append(_Child())
    return _children[0]


@atexit.register
def _forget() -> None:
    while _children:
        _children.pop().end()


def _after_fork() -> None:
    """A fork must not wait for a lock that a thread of its parent held."""
    global _LOCK
    _LOCK = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
