"""The child that reads what volbench's own gate does not bound: pydicom, GDCM, ITK and nibabel.

It takes one line of JSON per image on standard input and answers with a line of JSON and the bytes
of the voxels, on a pipe that no print reaches. Each image has its own limits of CPU time and
memory; the system ends a child that takes more time, and allocating more memory fails.
"""

import json
import os
import resource
import signal
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from volbench.errors import VolbenchError


def main(pipe: int) -> None:
    """Answer every image that stands on standard input, until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it too, and decides
    os.set_inheritable(pipe, False)
    warnings.simplefilter("ignore")
    with os.fdopen(pipe, "wb") as answers:
        for line in sys.stdin.buffer:
            _answer(json.loads(line), answers)


def _answer(task: dict[str, Any], answers: BinaryIO) -> None:
    from volbench.data.formats.dicom import load_series
    from volbench.data.formats.unverified_reading import load_unverified

    load = load_series if task["kind"] == "dicom" else load_unverified
    voxels = None
    try:
        with _Limits(task["seconds"], task["bytes"]):
            stored = load(Path(task["path"]))
            voxels = np.ascontiguousarray(stored.voxels.T)
            affine, digest = stored.affine.tolist(), stored.digest
        answer = {"affine": affine, "digest": digest, "kind": voxels.dtype.str}
        answer["shape"] = list(voxels.shape)
    except VolbenchError as error:
        answer = {"error": str(error)}
    except MemoryError:
        answer = {"memory": True}
    except Exception as error:  # whatever a library raises
        answer = {"reason": " ".join(f"{type(error).__name__}: {error}".split())[:160]}
    answers.write(json.dumps(answer).encode() + b"\n")
    if "shape" in answer and voxels is not None:
        answers.write(voxels.data)
    answers.flush()


class _Limits:
    """Bound the CPU time and the address space that a block may take."""

    def __init__(self, seconds: float, more_bytes: int) -> None:
        self.seconds, self.more_bytes = seconds, more_bytes

    def __enter__(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, self.seconds)  # its signal ends the process
        with suppress(OSError, ValueError):  # not every system bounds an address space
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            limit = pages * resource.getpagesize() + self.more_bytes
            resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        with suppress(OSError, ValueError):
            unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            resource.setrlimit(resource.RLIMIT_AS, unlimited)
