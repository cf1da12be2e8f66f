"""All scripts of this folder, one after another, each in a process of its own.

    python benchmarks/performance/everything.py --out results

Each writes its figures to a JSON file in ``--out`` and its tables to a text file beside it; one
that fails stops none of the others. On a GPU the network, the pipelines and the ten folds are
measured at sizes that fill it.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
LEARNING = (
    *("end_to_end.py", "--patients", "240", "--size", "48", "--slices", "8", "--batch", "8"),
    *("--epochs", "20"),
)
"""Enough cases for their AUC to say something."""

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
ON_GPU = {
    "network": ("network.py", "--batch", "8", "--rounds", "20"),
    "network-r3d": (
        *("network.py", "--part", "same", "lengths", "--encoder", "r3d", "--batch", "8"),
        *("--rounds", "10"),
    ),
    "end-to-end": ("end_to_end.py", "--patients", "60", "--batch", "8", "--epochs", "6"),
    "end-to-end-auc": LEARNING,
    "pipeline": ("pipeline.py", "--rounds", "20"),
    "scaling": ("scaling.py", "--patients", "32", "--size", "256"),
    "ten-folds": ("ten_folds.py", "--rounds", "1"),
    "startup": ("startup.py",),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run them; 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--only", nargs="+", choices=sorted({*ON_CPU, *ON_GPU}), metavar="NAME")
    parser.add_argument("--toy", action="store_true", help="tiny sizes: whether they run at all")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    failed = []
    for name, (script, *rest) in jobs().items():
        if options.only and name not in options.only:
            continue
        text = options.out / f"{name}.txt"
        command = [
            sys.executable,
            str(HERE / script),
            *rest,
            "--json",
            str(text.with_suffix(".json")),
        ]
        start = time.monotonic()
        with text.open("w", encoding="utf-8") as file:
            extra = ["--toy"] if options.toy else []
            code = subprocess.run(
                [*command, *extra], stdout=file, stderr=subprocess.STDOUT, check=False
            ).returncode
        state = "done" if code == 0 else f"failed with exit code {code}: see {text}"
        print(f"{name:20} {time.monotonic() - start:6.0f} s  {state}", flush=True)
        failed += [name] if code else []
    return 1 if failed else 0


def jobs() -> dict[str, tuple[str, ...]]:
    """What this machine can measure."""
    import torch

    return ON_GPU if torch.cuda.is_available() else ON_CPU


if __name__ == "__main__":
    sys.exit(main())
