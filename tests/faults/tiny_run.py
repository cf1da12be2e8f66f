"""A data set of eight volumes and runs on it, small enough to be done a thousand times."""

import os
from pathlib import Path
from unittest.mock import patch

import numpy as np

from tests.helpers.volumes_on_disk import SHAPE, image, voxels, write
from volbench.audit import shortcut_models
from volbench.crossval import Outcome, make_plan, run

CASES = 8
TINY = {
    "encoder": "r2d(width=2)",
    "aggregator": "max",
    "loss": "focal",
    "folds": "2",
    "precision": "float32",
    "overrides": ("training.epochs=1", "preprocessing.size=16", "selection.checkpoint=last"),
}
"""The smallest run: one epoch, no validation part."""

LONGER = {
    **TINY,
    "overrides": ("training.epochs=2", "preprocessing.size=16", "selection.checkpoint=last"),
}
"""With a checkpoint to go on from."""

FULLER = {
    **TINY,
    "loss": "focal+triplet",
    "overrides": (
        "training.epochs=3",
        "preprocessing.size=16",
        "regularization.ema=0.9",
        "schedule.name=plateau",
    ),
}
"""Validated, with an average of the weights."""


def write_volumes(folder: Path) -> Path:
    """Write the volumes and their manifest."""
    noise = np.random.default_rng(0)
    for number in range(CASES):
        array = (voxels(kind="<f4") + noise.normal(size=SHAPE) * 99).astype("<f4")
        write(folder / f"{number}.nii", image(array))
    lines = [f"{n}.nii,{'ab'[n % 2]},p{n}" for n in range(CASES)]
    path = folder / "m.csv"
    path.write_text("\n".join(["image,label,patient", *lines, ""]))
    return path


def train(manifest: Path, root: Path, options: dict) -> Outcome:
    """Prepare and run, with the cache and the run under ``root``; a checkpoint every epoch.

    Forests of the audit have one tree, as they would take most of the time.
    """
    with (
        patch.object(shortcut_models, "TREES", 1),
        patch.dict(os.environ, VOLBENCH_CACHE=f"{root}/cache"),
    ):
        plan = make_plan(**options, data=str(manifest))
        return run(plan, out=root, name="run", jobs=1, checkpoint_seconds=0)


def numbers(root: Path) -> dict[str, bytes]:
    """All that a run tells, by file; machines and times are no part of it."""
    run = root / "run"
    names = ("predictions.csv", "validation.csv", "history.csv", "model.safetensors")
    paths = [run / name for name in ("splits.csv", "cases.csv", "audit.csv", "data.json")]
    paths += [fold / name for fold in sorted((run / "folds").iterdir()) for name in names]
    return {str(path.relative_to(run)): path.read_bytes() for path in paths if path.exists()}


def leftovers(root: Path) -> list[str]:
    """What no finished run should leave behind."""
    return sorted(str(path.relative_to(root)) for path in root.rglob(".*.tmp"))
