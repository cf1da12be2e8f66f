"""A prepared folder in Python, and subjects as data of a run: there and back."""

import csv

import numpy as np
import pytest
import torchio as tio

import volbench
from tests.helpers.subjects import cohort
from tests.helpers.volumes_on_disk import box, image, write
from volbench.data.preparation.prepare_data import prepare
from volbench.data.preprocessing.options import Preprocessing
from volbench.datasets.phantom import Phantom
from volbench.datasets.phantom.export import export
from volbench.errors import UsageError

TINY = {
    "encoder": "r2d(width=2)",
    "aggregator": "max",
    "loss": "focal",
    "folds": 2,
    "device": "cpu",
    "jobs": 1,
}
SMALL = ("training.epochs=1", "preprocessing.size=16", "preprocessing.crop=none")


def written(outcome):
    """Case and probabilities of every held-out case, to the last bit."""
    rows = []
    for path in sorted(outcome.path.glob("folds/*/predictions.csv")):
        with path.open(newline="") as file:
            rows += [(row["case"], *list(row.values())[4:]) for row in csv.DictReader(file)]
    return rows


def test_files_memory_and_the_built_in_phantom_give_the_same_predictions(tmp_path):
    phantom = Phantom(patients=12, size=16, slices=3)
    manifest = export(phantom, tmp_path / "phantom", form="nifti", report=lambda done, total: None)
    with manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
    subjects = [
        tio.Subject(
            image=tio.ScalarImage(manifest.parent / row["image"]),
            label=row["label"],
            patient=row["patient"],
            case=row["case"],
        )
        for row in rows
    ]
    loaded = tio.SubjectsDataset([tio.Subject(one) for one in subjects])
    for one in loaded.dry_iter():
        one.load()
    sources = {
        "files": f'manifest(path="{manifest}", plane="axial")',
        "memory": loaded,
        "built-in": "phantom(patients=12, size=16, slices=3)",
    }
    seen = {
        name: written(
            volbench.run(data=data, overrides=SMALL, out=tmp_path / "runs", name=name, **TINY)
        )
        for name, data in sources.items()
    }
    assert seen["files"] == seen["memory"] == seen["built-in"]
    assert len(seen["files"]) == 12


def test_a_run_under_transforms_of_torchio_is_the_same_each_time(tmp_path, monkeypatch):
    augmentation = "training.augmentation=torchio.RandomAffine(scales=0.1)+torchio.RandomNoise+flip"
    data = "phantom(patients=12, size=16, slices=3)"
    seen = []
    for name, workers in (("alone", "0"), ("together", "2")):
        monkeypatch.setenv("VOLBENCH_AUGMENTATION_WORKERS", workers)
        overrides = ("training.epochs=2", augmentation)
        outcome = volbench.run(data=data, overrides=overrides, out=tmp_path, name=name, **TINY)
        assert not outcome.failed
        seen.append(written(outcome))
    assert seen[0] == seen[1]


def test_slice_level_follows_what_a_transform_moves(tmp_path):
    augmentation = "training.augmentation=torchio.RandomFlip(axes=(2,))"
    outcome = volbench.run(
        data="phantom(patients=12, size=16, slices=3)",
        level="slice",
        overrides=("training.epochs=1", augmentation),
        out=tmp_path,
        **{**TINY, "aggregator": None},
    )
    assert not outcome.failed


def test_prepared_cases_are_subjects_that_lie_where_they_were(tmp_path):
    path = write(tmp_path / "a.nii.gz")
    mask = write(tmp_path / "m.nii.gz", image(box()))
    subjects = [
        tio.Subject(t2w=tio.ScalarImage(path), roi=tio.LabelMap(mask), label=label, patient=label)
        for label in "ab"
    ]
    options = Preprocessing(size=20, crop="roi", margin=0.2, normalize="none")
    folder = prepare(subjects, options, root=tmp_path, jobs=1).folder
    data = volbench.load_prepared(folder)
    assert (len(data), data.classes, data.channels) == (2, ("a", "b"), ("t2w",))
    made = data.subjects()[0]
    whole = tio.Subject(t2w=tio.ScalarImage(path), roi=tio.LabelMap(mask))
    back = tio.Resample(made["t2w"], image_interpolation="linear")(whole)
    seen, expected = (one["t2w"].data[0, 4:-4, 4:-4].numpy() for one in (made, back))
    assert np.abs(seen - expected).max() < 1.0  # of voxels from 1 to 720; float16 holds them to 0.5
    centre = [
        one.affine[:3, :3] @ np.argwhere(one.data[0].numpy() > 0).mean(axis=0) + one.affine[:3, 3]
        for one in (made["mask"], whole["roi"])
    ]
    assert centre[0] == pytest.approx(centre[1], abs=0.1)
    saved = tmp_path / "back.nii.gz"
    made["t2w"].save(saved)
    assert np.allclose(tio.ScalarImage(saved).affine, made["t2w"].affine, atol=1e-5)


def test_a_loader_of_torchio_goes_over_a_part_of_the_folds(tmp_path):
    folder = prepare(cohort(40), Preprocessing(size=8), root=tmp_path, jobs=1).folder
    data = volbench.load_prepared(folder)
    parts = {part: data.subjects(part, fold=1, folds=4) for part in ("train", "validation", "test")}
    names = [one["case"] for subjects in parts.values() for one in subjects.dry_iter()]
    assert sorted(names) == sorted(case.name for case in data.cases)
    assert len(parts["test"]) == 10
    loader = tio.SubjectsLoader(parts["test"], batch_size=5)
    assert [batch["t2w"][tio.DATA].shape for batch in loader] == [(5, 1, 8, 8, 5)] * 2
    turned = data.subjects(transform=tio.Clamp(0, 1))[0]
    assert turned["t2w"].data.min() == 0
    with pytest.raises(UsageError, match="needs a fold of 0, 1"):
        data.subjects("train", folds=2)
    with pytest.raises(UsageError, match="split must be one of"):
        data.subjects("learn")
