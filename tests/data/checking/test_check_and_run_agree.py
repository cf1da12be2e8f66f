"""`data check` refuses what a run would refuse of the data, and nothing that it would take."""

import json
from dataclasses import replace

import nibabel
import numpy as np
import pytest
from click.testing import CliRunner

from tests.data.checking.test_check import CARD
from volbench.cli.main import main
from volbench.crossval import make_plan
from volbench.data.checking.check import check
from volbench.data.preparation.prepare_data import prepare
from volbench.data.preprocessing.options import Preprocessing
from volbench.errors import DataError
from volbench.interfaces import Case, Dataset, Generated
from volbench.types import Scan

CASES = 8


def volumes(folder, change=lambda number, voxels: voxels, masks=(), names=None):
    """A manifest of small volumes, each changed; the cases in ``masks`` have one."""
    rows = []
    for n in range(CASES):
        voxels = np.random.default_rng(n).normal(100, 30, (12, 12, 4)).astype(np.float32)
        nibabel.save(
            nibabel.Nifti1Image(change(n, voxels), np.diag([1, 1, 4, 1])), folder / f"{n}.nii"
        )
        if n in masks:
            region = np.zeros((12, 12, 4), np.uint8)
            region[3:8, 3:8, 1:3] = 1
            nibabel.save(
                nibabel.Nifti1Image(region, np.diag([1, 1, 4, 1])), folder / f"mask{n}.nii"
            )
        cells = [f"{n}.nii", "ab"[n % 2], f"p{n}", f"mask{n}.nii" if n in masks else ""]
        rows.append(",".join([*cells, *((names or {}).get(n, ("",)))]))
    extra = ",fold" if names else ","
    path = folder / "m.csv"
    path.write_text(
        "\n".join([f"image,label,patient,mask{extra if names else ',note'}", *rows, ""])
    )
    return path


def one_unlike(number, value):
    """A change of one volume only."""
    return lambda n, voxels: value(voxels) if n == number else voxels


KINDS = {
    "sound": ({}, (), None),
    "one outside the window": (
        {"change": one_unlike(5, lambda v: v + 5000)},
        ("preprocessing.normalize=window", "preprocessing.window=[0, 255]"),
        "case 5: channel image: every prepared voxel is 1 after preprocessing.normalize=window",
    ),
    "that one is sound in its own window": (
        {"change": one_unlike(5, lambda v: v + 5000)},
        ("preprocessing.normalize=window", "preprocessing.window=[0, 9000]"),
        None,
    ),
    "beyond float16": (
        {"change": one_unlike(2, lambda v: v * 1e4)},
        ("preprocessing.normalize=none",),
        "case 2: channel image: values beyond 65504",
    ),
    "below float16": (
        {"change": lambda n, v: v * 1e-11},
        ("preprocessing.normalize=none",),
        "case 0: channel image: every prepared voxel is 0",
    ),
    "masks of some": (
        {"masks": (0, 1, 2)},
        ("preprocessing.crop=roi",),
        "needs a region of interest",
    ),
    "masks of all": ({"masks": range(CASES)}, ("preprocessing.crop=roi",), None),
    "one value": (
        {"change": one_unlike(3, np.zeros_like)},
        (),
        "3.nii: every voxel is 0",
    ),
    "words that are no folds": (
        {"names": {n: (("train", "test", "left")[n % 3],) for n in range(CASES)}},
        (),
        "fold 'left' is neither a number nor",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_check_and_run_refuse_the_same(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("VOLBENCH_CACHE", str(tmp_path / "cache"))
    made, overrides, refused = KINDS[kind]
    path = volumes(tmp_path, **made)
    sets = [word for text in overrides for word in ("--set", text)]
    done = CliRunner().invoke(
        main, ["data", "check", str(path), "--jobs", "1", "--format", "json", *sets]
    )
    found = json.loads(done.stdout)
    folds = "official" if "folds" in kind else "2"
    components = {"encoder": "r2d(width=2)", "aggregator": "max", "loss": "focal"}
    quick = ("preprocessing.size=16", "selection.checkpoint=last", *overrides)
    planned = {"data": str(path), "folds": folds, "overrides": quick, "jobs": 1}
    if refused is None:
        assert (done.exit_code, found["problems"]) == (0, [])
        make_plan(**components, **planned)
        return
    assert (done.exit_code, found["clean"]) == (3, False)
    assert any(refused in problem for problem in found["problems"]), found["problems"]
    with pytest.raises(DataError):
        make_plan(**components, **planned)


class Flat(Generated):
    def fingerprint(self):
        return "flat"

    def render(self):
        return Scan(np.arange(64, dtype=np.float32).reshape(1, 4, 4, 4), (3.0, 1.0, 1.0))


class Odd(Dataset):
    """Cases of a plugin, whose names no manifest reader has seen."""

    card = CARD
    classes = ("a", "b")

    def __init__(self, *cases):
        self._cases = cases

    def cases(self):
        return self._cases


@pytest.mark.parametrize(
    "change",
    [
        {"name": "a\rb"},
        {"patient": "\x1b[2J"},
        {"strata": {"site": "x\ny"}},
        {"strata": {"si\x1b[2Jte": "x"}},
    ],
)
def test_names_that_no_table_can_hold_are_refused_by_both(change, tmp_path):
    whole = Case("one", "p1", "a", Flat())
    dataset = Odd(replace(whole, **change), Case("two", "p2", "b", Flat()))
    found = check(dataset, allow_duplicates=True, options=Preprocessing(size=8))
    (problem,) = found.problems
    assert problem.endswith("holds a control character; write it without")
    with pytest.raises(DataError, match="holds a control character; write it without"):
        prepare(dataset, Preprocessing(size=8), root=tmp_path)


def test_a_name_that_no_file_can_have_is_a_problem_of_its_case(tmp_path):
    path = volumes(tmp_path)
    path.write_text(path.read_text().replace("5.nii", f"5.nii.{'[' * 300}"))
    done = CliRunner().invoke(main, ["data", "check", str(path), "--jobs", "1", "--format", "json"])
    (problem,) = json.loads(done.stdout)["problems"]
    assert done.exit_code == 3
    assert problem.startswith(f"{tmp_path / '5.nii.['}[[[")
    assert problem.endswith("[: no such file; check the path")
    with pytest.raises(DataError, match="File name too long"):
        make_plan(encoder="r2d(width=2)", aggregator="max", loss="focal", data=str(path), folds="2")
    other = CliRunner().invoke(main, ["compare", "a" * 300])
    assert other.exit_code == 2  # no disk is to blame
    assert other.stderr.startswith("volbench: File name too long: aaa")
