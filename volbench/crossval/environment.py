"""Environment of a run: versions, commit, hardware, settings."""

import platform
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import volbench
from volbench._utils.cpu import available_cores
from volbench._utils.machine_paths import relative_paths
from volbench.data.cache.packed_voxels import Prepared
from volbench.training.device_and_precision import Compute

PACKAGES = (
    "volbench",
    "torch",
    "numpy",
    "timm",
    "einops",
    "SimpleITK",
    "torchio",
    "scikit-learn",
    "pandas",
    "pydantic",
    "safetensors",
)


ON_NODES = "decided where each fold runs"


def describe_environment(compute: Compute | None, *, jobs: int) -> dict[str, Any]:
    """Collect what a run's environment.json holds; ``None``: other machines train its folds."""
    command = [Path(sys.argv[0]).name, *map(relative_paths, sys.argv[1:])]
    machine = (
        describe_machine(compute)
        if compute is not None
        else {**_installation(), "cores": available_cores(), "device": ON_NODES}
    )
    return {**machine, "command": command, "jobs": jobs}


def describe_machine(compute: Compute) -> dict[str, Any]:
    """Collect what a fold's environment.json holds: the process and machine that trained it."""
    return {
        **_installation(),
        "cores": available_cores(),
        "device": device_name(compute),
        "precision": compute.precision,
        "threads": compute.threads,
        "compiled": compute.compiled,
    }


@cache
def _installation() -> dict[str, Any]:
    """What stays as it is while a process lives, and takes a moment to find out."""
    return {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "commit": source_commit(),
        "platform": platform.platform(),
        "processor": processor_name(),
    }


def describe_data(prepared: Prepared, duplicates: Sequence[tuple[str, str]] = ()) -> dict[str, Any]:
    """Collect what data.json holds: the data set beside its cases, and the copies allowed in it."""
    return {
        "source": relative_paths(prepared.source),
        "digest": prepared.digest,
        "voxels_digest": prepared.voxels_digest,
        "classes": list(prepared.classes),
        "channels": list(prepared.channels),
        **({"ordered": True} if prepared.ordered else {}),
        **({"duplicates": [list(pair) for pair in duplicates]} if duplicates else {}),
        **prepared.card_fields,
    }


def device_name(compute: Compute) -> str:
    """Name the GPU, or the processor where there is none."""
    if torch.device(compute.device).type == "cuda":
        return torch.cuda.get_device_name(compute.device)
    return processor_name()


def processor_name() -> str:
    """Model name of the processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def source_commit() -> str | None:
    """Git commit of a development checkout, with ``+`` if files were changed; else None."""
    root = Path(volbench.__file__).parent.parent
    if not (root / ".git").exists():
        return None
    commit = _git(root, "rev-parse", "HEAD")
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}+" if commit and changed else commit


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
