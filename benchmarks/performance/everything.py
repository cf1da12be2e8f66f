"""All scripts of this folder, one after another, each in a process of its own.

    python benchmarks/performance/everything.py --out results

Each writes its figures to a JSON file in ``--out`` and its tables to a text file beside it, and
shows them as they come; one that fails stops none of the others. ``--minutes 8`` runs what fits
into so many, the most telling first. On a GPU the network, the pipelines and the ten folds are
measured at sizes that fill it.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
STOPPED = -1000
"""Stands for the exit code of a script that the time did not suffice for."""
LEARNING = (
    *("end_to_end.py", "--patients", "240", "--size", "48", "--slices", "8", "--batch", "8"),
    *("--epochs", "20", "--no-compile"),
)
"""Enough cases for their AUC to say something, whatever is compiled."""

ON_CPU = {
    "network-float32": ("network.py", "--part", "same", "--precision", "float32", "--rounds", "3"),
    "network-bfloat16": (
        *("network.py", "--part", "same", "--precision", "bfloat16", "--rounds", "4"),
        "--compile",
    ),
    "network-r3d": (
        *("network.py", "--part", "same", "--encoder", "r3d", "--precision", "bfloat16"),
        *("--rounds", "2"),
    ),
    "network-lengths": (
        *("network.py", "--part", "lengths", "--precision", "bfloat16", "--size", "128"),
        *("--rounds", "3"),
    ),
    "network-context": (
        *("network.py", "--part", "context", "--precision", "bfloat16", "--size", "128"),
        *("--rounds", "3"),
    ),
    "end-to-end": (
        *("end_to_end.py", "--patients", "6", "--batch", "2", "--epochs", "7"),
        *("--pipelines", "MONAI", "TorchIO"),
    ),
    "end-to-end-auc": LEARNING,
    "pipeline": ("pipeline.py",),
    "warm-start": ("warm_start.py",),
    "startup": ("startup.py",),
    "scaling": ("scaling.py",),
    "ten-folds": ("ten_folds.py", "--rounds", "1"),
}
NETWORK = (
    *("network.py", "--batch", "8", "--rounds", "8", "--precision", "bfloat16"),
    *("--compile", "plain", "--limit", "60"),
)
ON_GPU = {
    "network-rmc5": (*NETWORK, "--part", "same", "lengths"),
    "training-step": ("training_step.py",),
    "ten-folds": ("ten_folds.py", "--rounds", "1"),
    "end-to-end": (
        *("end_to_end.py", "--patients", "60", "--batch", "8", "--epochs", "6", "--limit", "60"),
    ),
    "end-to-end-auc": LEARNING,
    "network-r3d": (*NETWORK, "--encoder", "r3d", "--part", "same"),
    "network-r2d": (*NETWORK, "--encoder", "r2d", "--part", "same"),
    "network-r2plus1d": (*NETWORK, "--encoder", "r2plus1d", "--part", "same"),
    "network-r3d-lengths": (*NETWORK, "--encoder", "r3d", "--part", "lengths", "--no-compile"),
    "pipeline": ("pipeline.py", "--rounds", "20"),
    "network-precisions": ("network.py", "--batch", "8", "--rounds", "8", "--no-compile"),
    "scaling": ("scaling.py", "--patients", "32", "--size", "256"),
    "startup": ("startup.py",),
}
"""The most telling first: what ``--minutes`` leaves out is at the end."""

SHORTEST_S = 20.0
"""A script is not begun with less time left."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run them; 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--only", nargs="+", choices=sorted({*ON_CPU, *ON_GPU}), metavar="NAME")
    parser.add_argument("--minutes", type=float, metavar="N", help="run what fits into so many")
    parser.add_argument("--toy", action="store_true", help="tiny sizes: whether they run at all")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    end = None if options.minutes is None else time.monotonic() + 60 * options.minutes
    failed = []
    for name, (script, *rest) in jobs().items():
        if options.only and name not in options.only:
            continue
        if end is not None and end - time.monotonic() < SHORTEST_S:
            print(f"{name:20}        left out: the minutes are over", flush=True)
            continue
        text = options.out / f"{name}.txt"
        command = [sys.executable, str(HERE / script), *rest]
        command += ["--json", str(text.with_suffix(".json")), *(["--toy"] * options.toy)]
        start = time.monotonic()
        code = run(command, text, end)
        state = "done" if code == 0 else f"failed with exit code {code}: see {text}"
        if code == STOPPED:
            state = f"stopped, the minutes are over: the tables made so far are in {text}"
        print(f"{name:20} {time.monotonic() - start:6.0f} s  {state}", flush=True)
        failed += [name] if code not in (0, STOPPED) else []
    return 1 if failed else 0


def run(command: Sequence[str], text: Path, end: float | None) -> int:
    """Run a script and show its lines as they come; they are kept in a file, too."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
    stopped = threading.Event()

    def stop() -> None:
        stopped.set()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what it started ends as well

    timer = threading.Timer(0.0 if end is None else max(0.0, end - time.monotonic()), stop)
    if end is not None:
        timer.start()
    assert process.stdout is not None
    with process.stdout, text.open("w", encoding="utf-8") as file:
        for line in process.stdout:
            print(line, end="", flush=True)
            file.write(line)
            file.flush()
    code = process.wait()
    timer.cancel()
    return STOPPED if stopped.is_set() else code


def jobs() -> dict[str, tuple[str, ...]]:
    """What this machine can measure."""
    import torch

    return ON_GPU if torch.cuda.is_available() else ON_CPU


if __name__ == "__main__":
    sys.exit(main())
