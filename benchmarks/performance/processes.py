"""A command run as a process of its own: how long it took, what it printed, why it failed."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[2]
VOLBENCH = (sys.executable, "-c", "from volbench.cli.main import main; main()")
NEEDED_TO_TRAIN = ("pydantic", "safetensors", "sklearn", "scipy", "rich")
NEEDED_TO_COMPARE = NEEDED_TO_TRAIN


@dataclass(frozen=True)
class Finished:
    """A process that ended well, with the operating system's own account of it.

    Attributes:
        started: When, by ``time.time()``.
        wall: Seconds until it was over.
        processor: Seconds of all its threads, and of the processes that it waited for.
        output: What it printed.
    """

    started: float
    wall: float
    processor: float
    output: str

    def seconds(self, clock: str) -> float:
        """By the clock on the wall, or of the processor."""
        return self.wall if clock == "wall" else self.processor


def execute(command: Sequence[str], **environment: str) -> Finished:
    """Run a command to its end.

    Args:
        command: The program and its arguments.
        environment: Variables beside those of this process.

    Raises:
        RuntimeError: it failed; with the end of what it said.
    """
    variables = {**os.environ, "PYTHONPATH": _path(os.environ), **environment}
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        started, begin = time.time(), time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=errors, env=variables)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            raise RuntimeError(
                f"{' '.join(command)} ended with {process.returncode}: {errors.read()[-2000:]}"
            )
        return Finished(
            started=started,
            wall=wall,
            processor=usage.ru_utime + usage.ru_stime,
            output=output.read(),
        )


def missing(modules: Sequence[str]) -> list[str]:
    """Those of some modules that are not installed."""
    return [name for name in modules if find_spec(name) is None]


def _path(variables: Mapping[str, str]) -> str:
    """The checkout first, so that it is measured whatever is installed."""
    return os.pathsep.join(filter(None, [str(ROOT), variables.get("PYTHONPATH")]))
