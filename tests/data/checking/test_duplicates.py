"""Copies, near copies and patients that look like one are found, named and kept out of a test."""

import csv

import numpy as np
import pytest
from click.testing import CliRunner

from tests.helpers.volumes_on_disk import image, write
from volbench.cli.main import main
from volbench.data.duplicates import look_alikes, similar_pairs, thumbnail
from volbench.data.duplicates.separated import separated

TINY = ["--encoder", "r2d(width=2)", "--agg", "max", "--loss", "focal"]
TINY += ["--set", "training.epochs=1"]
TINY += ["--set", "preprocessing.size=16", "--set", "selection.checkpoint=last", "--jobs", "1"]


def blobs(seed, shape=(10, 40, 40)):
    """A smooth volume unlike any other, with thick slices."""
    draw = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    found = np.zeros(shape)
    for _ in range(12):
        centre = draw.uniform(-1, 1, 3)[:, None, None, None]
        found += draw.normal() * np.exp(-((grid - centre) ** 2).sum(0) / 0.06)
    return (500 * found).astype(np.float32)


def cohort(folder, changed=(), patients=None, folds=None):
    """Twelve volumes; ``changed`` gives further ones, as a number and its voxels."""
    rows = []
    for number, array in [*((n, blobs(n)) for n in range(12)), *changed]:
        write(folder / f"{number}.nii", image(array, spacing=(1.0, 1.0, 4.0)))
        rows.append([f"{number}.nii", "ab"[number % 2], (patients or {}).get(number, f"p{number}")])
    header = ["image", "label", "patient", *(["fold"] if folds else [])]
    with (folder / "m.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [header, *([*row, *([folds(n)] if folds else [])] for n, row in enumerate(rows))]
        )
    return folder / "m.csv"


def call(*arguments):
    return CliRunner().invoke(main, [*map(str, arguments)])


def test_all_copies_are_named_and_end_a_check_with_3(tmp_path):
    manifest = cohort(tmp_path, [(20, blobs(3)), (21, blobs(5))])
    done = call("data", "check", manifest, "--jobs", "1")
    assert done.exit_code == 3
    assert "cases 3 and 20 are equal voxel for voxel, of the patients 'p3' and 'p20'" in done.output
    assert "cases 5 and 21 are equal voxel for voxel" in done.output
    allowed = call("data", "check", manifest, "--jobs", "1", "--allow-duplicates")
    assert allowed.exit_code == 0
    assert "warning: cases 3 and 20 are equal" in allowed.output


def test_a_run_refuses_copies_across_folds_or_records_and_marks_them(tmp_path):
    manifest = cohort(tmp_path, [(22, blobs(3))], folds=lambda n: n % 2)
    data = ["--data", manifest, "--folds", "official", "--out", tmp_path / "runs", "--name", "r"]
    for command in (["run", *TINY, *data], ["data", "prepare", manifest]):
        refused = call(*command)
        assert refused.exit_code == 3
        assert "1 pair of equal volumes between training and held-out cases" in refused.output
        assert "22 = 3" in refused.output
    assert not (tmp_path / "runs").exists()
    assert call("run", *TINY, *data, "--allow-duplicates").exit_code == 0
    shown = call("compare", tmp_path / "runs" / "r").output
    assert "Duplicates: r was allowed 1 pair of equal volumes" in " ".join(shown.split())


def test_copies_in_one_fold_are_no_leak(tmp_path):
    manifest = cohort(tmp_path, [(22, blobs(3))], folds=lambda n: int(n in (3, 12, 1, 4, 8)))
    assert call("data", "prepare", manifest, "--set", "preprocessing.size=16").exit_code == 0


def test_two_spellings_of_a_patient_warn_and_are_refused_with_one_image(tmp_path):
    manifest = cohort(tmp_path, patients={0: "12", 2: "0012"})
    done = call("data", "check", manifest, "--jobs", "1")
    assert done.exit_code == 0
    assert "warning: patients that look like one: '0012', '12'" in done.output
    both = cohort(tmp_path, [(22, blobs(0))], patients={0: "pat7", 22: "PAT7"})
    done = call("data", "prepare", both, "--set", "preprocessing.size=16")
    assert (done.exit_code, "two spellings of one patient" in done.output) == (3, True)


def test_a_patient_called_like_a_missing_value_warns_where_data_are_checked_and_prepared(tmp_path):
    manifest = cohort(tmp_path, patients={0: "nan", 2: "nan"})
    for command in ("check", "prepare"):
        done = call("data", command, manifest, "--jobs", "1")
        said = " ".join(done.output.split())
        assert done.exit_code == 0
        assert said.count("warning: patient 'nan' may be a value that was missing") == 1


@pytest.mark.parametrize("name", ["scaled", "mirrored", "mirrored slices", "shifted", "resampled"])
def test_near_copies_are_found_and_other_patients_are_not(name):
    volumes = [blobs(number) for number in range(30)]
    changed = {
        "scaled": volumes[4] * 0.3 + 7,
        "mirrored": volumes[4][:, :, ::-1],
        "mirrored slices": volumes[4][::-1],
        "shifted": volumes[4][1:],
        "resampled": volumes[4][:, ::2, ::2],
    }[name]
    patients = [f"p{number}" for number in range(30)]
    images = [thumbnail(volume) for volume in [*volumes, changed]]
    assert similar_pairs(images, [*patients, "other"]) == [(4, 30)]
    assert similar_pairs(images, [*patients, "p4"]) == []


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (["12", "0012"], [("0012", "12")]),
        (["7", "7.0"], [("7", "7.0")]),
        (["pat7", "PAT7", "pat 7"], [("PAT7", "pat 7", "pat7")]),
        (["p1", "p10", "p2", "1.5", "15", "train-00001", "val-00001"], []),
        (["NA", "0", "00"], [("0", "00")]),
    ],
)
def test_identifiers_that_look_alike(names, groups):
    assert look_alikes(names) == groups


def test_a_pair_in_validation_and_test_is_separated_and_one_in_training_is_not():
    assert separated([(0, 1), (1, 2)], [((0, 1), (2,))]) == [(1, 2)]


@pytest.mark.parametrize("scale", [1e-30, 1e-13, 1.0, 1e13, 3e38])
def test_copies_are_found_whatever_the_size_of_their_values(scale):
    draw = np.random.default_rng(0)
    one, other = (draw.uniform(0.1, 1, (4, 20, 20)) for _ in range(2))
    volumes = [(scale * one).astype(np.float32), one.astype(np.float32), other.astype(np.float32)]
    found = similar_pairs([thumbnail(volume) for volume in volumes], ["p", "q", "r"])
    assert found == [(0, 1)]
