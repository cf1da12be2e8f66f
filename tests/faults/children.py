"""Work done in a forked child, so that it may be killed, crash or fill its memory."""

import gc
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

REALLY_EXIT = os._exit
GONE_ON = 99
"""Exit code of work that raised."""


@dataclass(frozen=True)
class Ending:
    """How a child ended.

    Attributes:
        code: Exit code, or minus the number of the signal that ended it.
        value: What the work returned, None where it did not get there.
        seconds: Of a core; for waiting there is the limit.
        peak_mb: Its largest memory, with what it had of its parent.
        output: What it wrote to stdout.
        errors: What it wrote to stderr; a traceback where the work raised.
    """

    code: int
    value: object
    seconds: float
    peak_mb: float
    output: str
    errors: str


def in_child(work: Callable[[], object], scratch: Path, *, limit_s: float = 60.0) -> Ending:
    """Do ``work`` in a forked child and wait for its end; a child that takes longer is killed."""
    scratch.mkdir(parents=True, exist_ok=True)
    paths = [scratch / name for name in ("value", "stdout", "stderr")]
    for path in paths:
        path.unlink(missing_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _be_child(work, *paths, limit_s=limit_s)
    _, status, usage = os.wait4(child, 0)
    value, output, errors = (path.read_bytes() if path.exists() else b"" for path in paths)
    return Ending(
        code=os.waitstatus_to_exitcode(status),
        value=pickle.loads(value) if value else None,
        seconds=usage.ru_utime + usage.ru_stime,
        peak_mb=usage.ru_maxrss / 1024,
        output=output.decode(errors="replace"),
        errors=errors.decode(errors="replace"),
    )


def _be_child(
    work: Callable[[], object], value: Path, stdout: Path, stderr: Path, *, limit_s: float
) -> None:
    code = GONE_ON
    try:
        gc.disable()  # collecting would copy the parent's pages
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, limit_s)
        for number, path in ((1, stdout), (2, stderr)):
            file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
            os.dup2(file, number)
            os.close(file)
        sys.stdout = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
        sys.stderr = os.fdopen(os.dup(2), "w", encoding="utf-8", buffering=1)
        result = pickle.dumps(work())
        descriptor = os.open(value, os.O_CREAT | os.O_WRONLY)
        os.write(descriptor, result)
        os.close(descriptor)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        REALLY_EXIT(code)
