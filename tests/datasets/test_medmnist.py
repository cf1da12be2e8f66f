"""MedMNIST files: official split, kept slices, lazily opened, wrong files refused."""

import pickle
import re

import numpy as np
import pytest

from volbench.data.reading import fingerprint, read_case
from volbench.data.sources import open_dataset
from volbench.datasets import medmnist
from volbench.datasets.medmnist import MedMNIST
from volbench.errors import DataError

COUNTS = {"train": 4, "val": 2, "test": 3}


def arrays(size: int = 8) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    made: dict[str, np.ndarray] = {}
    for split, count in COUNTS.items():
        made[f"{split}_images"] = random.integers(0, 256, (count, size, size, size), np.uint8)
        made[f"{split}_labels"] = (np.arange(count) % 2).astype(np.uint8)[:, None]
    return made


def saved(folder, name="adrenalmnist3d.npz", **changes) -> str:
    made = {**arrays(), **changes}
    np.savez_compressed(folder / name, **{k: v for k, v in made.items() if v is not None})
    return str(folder / name)


def test_cases_carry_the_official_split_and_the_names_of_the_classes(tmp_path):
    dataset = MedMNIST(path=saved(tmp_path))
    cases = dataset.cases()
    assert dataset.classes == ("normal", "hyperplasia")
    assert dataset.native_size == 8
    assert [case.fold for case in cases] == ["train"] * 4 + ["val"] * 2 + ["test"] * 3
    assert [case.label for case in cases[:2]] == ["normal", "hyperplasia"]
    assert len({case.name for case in cases}) == len({case.patient for case in cases}) == 9
    assert "CC BY 4.0" in dataset.card.licence


def test_a_case_is_its_volume_in_the_file(tmp_path):
    scan = read_case(MedMNIST(path=saved(tmp_path)).cases()[5])
    np.testing.assert_array_equal(scan.image[0], arrays()["val_images"][1].astype(np.float32))
    assert scan.spacing_mm == (1, 1, 1)


@pytest.mark.parametrize(
    ("keep_every", "kept"), [(2, [0, 2, 4, 6]), (3, [0, 3, 6]), (4, [1, 5]), (5, [1, 6]), (8, [3])]
)
def test_keeping_every_kth_slice_keeps_the_middle_ones(keep_every, kept, tmp_path):
    dataset = MedMNIST(path=saved(tmp_path), keep_every=keep_every)
    scan = read_case(dataset.cases()[0])
    np.testing.assert_array_equal(scan.image[0], arrays()["train_images"][0][kept])
    assert scan.spacing_mm == (keep_every, 1, 1)
    offsets = (kept[0], 7 - kept[-1])
    assert 0 <= offsets[1] - offsets[0] <= 1


def test_a_case_is_small_and_the_file_is_opened_late(tmp_path):
    medmnist._images.cache_clear()
    cases = MedMNIST(path=saved(tmp_path)).cases()
    assert medmnist._images.cache_info().currsize == 0
    assert len(pickle.dumps(cases[0].source)) < 500
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(cases[0].source)).render().image, cases[0].source.render().image
    )
    assert medmnist._images.cache_info().misses == 1


def test_the_fingerprint_changes_with_file_place_and_slices_but_not_with_the_path(tmp_path):
    path = saved(tmp_path)
    copied = saved(tmp_path, "moved.npz")
    changed = saved(tmp_path, "other.npz", test_images=arrays()["test_images"] // 2)
    first = MedMNIST(path=path).cases()
    assert fingerprint(first[0]) == fingerprint(MedMNIST(path=copied).cases()[0])
    others = [
        first[0],
        first[1],
        first[4],
        MedMNIST(path=path, keep_every=2).cases()[0],
        MedMNIST(path=changed).cases()[0],
    ]
    assert len({fingerprint(case) for case in others}) == len(others)


def test_a_file_replaced_under_the_same_name_is_read_anew(tmp_path):
    case = MedMNIST(path=saved(tmp_path)).cases()[0]
    before, print_before = read_case(case).image, fingerprint(case)
    saved(tmp_path, train_images=arrays()["train_images"][::-1])
    np.testing.assert_array_equal(read_case(case).image[0], arrays()["train_images"][-1])
    assert not np.array_equal(before, read_case(case).image)
    assert fingerprint(case) != print_before


def test_unknown_names_give_numbered_classes(tmp_path):
    labels = np.array([0, 2, 1, 0], np.uint8)[:, None]
    assert MedMNIST(path=saved(tmp_path, "mine.npz", train_labels=labels)).classes == (
        "0",
        "1",
        "2",
    )
    assert MedMNIST(path=saved(tmp_path, "nodulemnist3d_64.npz")).classes == ("benign", "malignant")


def test_the_path_of_an_npz_opens_it(tmp_path):
    path = saved(tmp_path)
    dataset, spec = open_dataset(path)
    assert len(dataset.cases()) == 9
    assert str(spec) == f"medmnist(path={path!r})"


WRONG = {
    "no volumes of one part": (
        {"val_images": None},
        "no val_images in it; give a MedMNIST 3D file",
    ),
    "2D images": (
        {"train_images": np.zeros((4, 8, 8), np.uint8)},
        r"train_images is uint8 of shape \(4, 8, 8\), not 8-bit volumes",
    ),
    "floats": ({"test_images": np.zeros((3, 8, 8, 8))}, "test_images is float64"),
    "several labels a volume": (
        {"train_labels": np.zeros((4, 14), np.uint8)},
        r"train_labels is uint8 of shape \(4, 14\), not one label",
    ),
    "labels for other volumes": ({"val_labels": np.zeros((3, 1), np.uint8)}, "not one label"),
    "pickled labels": ({"val_labels": np.array([None, 1], object)}, "not a whole npz file"),
    "two sizes": ({"val_images": np.zeros((2, 9, 9, 9), np.uint8)}, "of several sizes"),
}


@pytest.mark.parametrize("title", WRONG)
def test_a_wrong_file_is_refused_in_one_line(title, tmp_path):
    changes, reason = WRONG[title]
    path = saved(tmp_path, **changes)
    with pytest.raises(DataError, match=f"^{re.escape(path)}: .*{reason}") as raised:
        MedMNIST(path=path)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_missing_truncated_or_no_npz_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"none.npz: no such file; get it from"):
        MedMNIST(path=str(tmp_path / "none.npz"))
    for content in (b"", b"garbage" * 99, b"PK\3\4" + bytes(99)):
        (tmp_path / "bad.npz").write_bytes(content)
        with pytest.raises(DataError, match=r"bad.npz: not a whole npz file .*; download it again"):
            MedMNIST(path=str(tmp_path / "bad.npz"))
    path = saved(tmp_path)
    content = (tmp_path / "adrenalmnist3d.npz").read_bytes()
    (tmp_path / "adrenalmnist3d.npz").write_bytes(content[:-500])
    with pytest.raises(DataError, match="not a whole npz file"):
        MedMNIST(path=path)


def test_a_damaged_volume_is_found_when_it_is_read(tmp_path):
    path = saved(tmp_path)
    case = MedMNIST(path=path).cases()[0]
    content = bytearray((tmp_path / "adrenalmnist3d.npz").read_bytes())
    content[800] ^= 0xFF  # within the first array's stream
    (tmp_path / "adrenalmnist3d.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"adrenalmnist3d.npz: not a whole npz file"):
        read_case(case)


@pytest.mark.parametrize("keep_every", [0, -1, 9])
def test_keep_every_must_leave_a_slice(keep_every, tmp_path):
    with pytest.raises(ValueError, match="keep_every must be at"):
        MedMNIST(path=saved(tmp_path), keep_every=keep_every)
