"""Small runs trained on volumes on disk, for tests of what is done with a run afterwards."""

from pathlib import Path

import numpy as np
import pydicom

from tests.helpers.volumes_on_disk import box, image, write, write_series
from volbench.crossval import make_plan, run

CASES = 12
QUICK = ("training.epochs=1", "preprocessing.size=16", "optimizer.lr=0.02")


def voxels(number: int) -> np.ndarray:
    """Whole numbers, so that every format can hold them; odd volumes are brighter inside."""
    made = np.random.default_rng(number).integers(0, 200, (6, 12, 10))
    made[1:4, 3:9, 2:8] += 150 * (number % 2)
    return made.astype("<u2")


def label(number: int) -> str:
    return "T3" if number % 2 else "T2"


def write_volumes(folder: Path) -> Path:
    """Images, a second channel and masks of every case, and one manifest of each kind."""
    folder.mkdir()
    for number in range(CASES):
        write(folder / f"{number:02d}.nii.gz", image(voxels(number)))
        write(folder / f"dwi{number:02d}.nii.gz", image(voxels(100 + number)))
        write(folder / f"mask{number:02d}.nii.gz", image(box()))
    names = [f"{number:02d}.nii.gz" for number in range(CASES)]
    plain = [f"{name},{label(n)},p{n}" for n, name in enumerate(names)]
    write_csv(folder / "plain.csv", "image,label,patient", plain)
    both = [f"{name},dwi{name},mask{name},{label(n)},p{n}" for n, name in enumerate(names)]
    write_csv(folder / "both.csv", "image:t2w,image:dwi,mask,label,patient", both)
    slices = [f"{name},{label(n)},p{n},{1 + n % 2};3" for n, name in enumerate(names)]
    write_csv(folder / "slices.csv", "image,label,patient,representative", slices)
    return folder


def write_csv(path: Path, header: str, rows: list[str]) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def write_dicom(folder: Path, number: int) -> Path:
    """The case as a DICOM series."""
    made = voxels(number)

    def change(slice_number: int, data: pydicom.Dataset) -> pydicom.Dataset:
        data.PixelData = made[slice_number].tobytes()
        return data

    return write_series(folder, change=change)


def train(folder: Path, manifest: Path, *overrides: str, **options) -> Path:
    """Train two folds for an epoch; return the run's folder."""
    plan = make_plan(
        **{
            "encoder": "rmc5(width=2)",
            "aggregator": "bilinear",
            "loss": "focal",
            "data": str(manifest),
            "folds": "2",
            "precision": "float32",
            "overrides": (*QUICK, *overrides),
            "jobs": 1,
            **options,
        }
    )
    outcome = run(plan, out=folder, name=manifest.stem, jobs=1, device="cpu")
    assert not outcome.failed
    return outcome.path
