"""`volbench data audit` as a person runs it, on the phantom and on wrong input."""

import csv
import io
import json
import math
import re

import numpy as np
import pytest
import SimpleITK
from click.testing import CliRunner

from tests.audit.cohort import cohort
from volbench.cli.main import main
from volbench.data.preparation.prepare_data import prepare
from volbench.data.preprocessing.options import Preprocessing, with_settings

PHANTOM = "phantom(patients=12, size=16, slices=(3, 4))"


def data_audit(*arguments):
    return CliRunner().invoke(main, ["data", "audit", *map(str, arguments)])


def plant(number, label, random):
    fold = "0" if number < 30 else "1"
    strata = {"diameter": f"{random.normal(10 + 5 * label, 4):.2f}", "grade": str(label)}
    return {"strata": strata, "fold": fold}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return cohort(tmp_path_factory.mktemp("cohort"), cases=60, plant=plant).folder


@pytest.fixture(scope="module")
def shown(folder):
    done = data_audit(folder, "--folds", "official")
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_table_is_sorted_and_names_the_bar(shown):
    assert shown.startswith("cohort: 60 cases of 60 patients, 2 folds (data 00000000, split ")
    areas = [float(area) for area in re.findall(r"(\d\.\d{3})±", shown)]
    assert len(areas) == 2 * 6, "geometry, intensity, two columns, both, everything"
    assert areas == sorted(areas, reverse=True)
    assert "stratum grade: AUC 1.000: this column is nearly the label." in shown
    assert "\nThe column diameter alone reaches 0." in shown
    assert re.search(r"\n everything .* \(without grade\)\n", re.sub(r" +\n", "\n", shown))
    assert max(map(len, shown.splitlines())) <= 100
    assert "\x1b" not in shown


def test_csv_and_json_hold_the_same_figures(folder, shown, tmp_path):
    path = tmp_path / "audit.csv"
    done = data_audit(folder, "--folds", "official", "--format", "csv", "--output", path)
    assert (done.exit_code, done.stdout) == (0, "")
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    as_json = json.loads(data_audit(folder, "--folds", "official", "--format", "json").stdout)
    assert as_json["schema"] == 1
    assert (as_json["cases"], as_json["patients"], as_json["folds"]) == (60, 60, 2)
    assert as_json["verdict"][0] in shown
    assert [row["features"] for row in rows] == [row["features"] for row in as_json["rows"]]
    for row, other in zip(rows, as_json["rows"], strict=True):
        assert math.isclose(float(row["auc"]), other["auc"])
        assert row["finding"] == other["finding"]
        assert f"{other['auc']:.3f}±" in shown


def test_one_fold_has_no_spread_and_json_says_null(tmp_path):
    def plant(number, label, random):
        return {"fold": "test" if number < 10 else "train"}

    data = cohort(tmp_path, cases=30, plant=plant).folder
    rows = json.loads(data_audit(data, "--folds", "official", "--format", "json").stdout)["rows"]
    assert {row["auc_std"] for row in rows} == {None}
    assert ", 1 fold (" in data_audit(data, "--folds", "official").stdout


def test_the_phantom_is_prepared_and_audited(tmp_path):
    done = data_audit(PHANTOM, "--folds", "2", "--set", "preprocessing.normalize=none")
    assert done.exit_code == 0, done.output
    for features in ("geometry", "ROI volume", "intensity", "stratum vendor", "everything"):
        assert f"\n {features} " in done.stdout
    assert "auditing: 16/16 fits" in done.stderr


def test_the_kind_of_file_is_known_of_a_manifest(tmp_path):
    """Benign volumes come as NRRD from one place, malignant ones as NIfTI from another."""
    random = np.random.default_rng(0)
    lines = ["image,label,patient"]
    for number in range(24):
        label, suffix = (("benign", "nrrd"), ("malignant", "nii.gz"))[number % 2]
        image = SimpleITK.GetImageFromArray(random.normal(100, 20, (2, 6, 6)).astype(np.float32))
        image.SetSpacing((0.5, 0.5, 4.0))
        SimpleITK.WriteImage(image, str(tmp_path / f"{number}.{suffix}"))
        lines.append(f"{number}.{suffix},{label},p{number}")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    options = with_settings(Preprocessing(), ["preprocessing.size=6"])
    prepared = prepare(str(tmp_path / "manifest.csv"), options, root=tmp_path / "cache", jobs=1)
    assert {case.file_type for case in prepared.cases} == {"nrrd", "nii.gz"}
    done = data_audit(tmp_path / "manifest.csv", "--folds", "2", "--set", "preprocessing.size=6")
    assert done.exit_code == 0, done.output
    assert "\nGeometry alone reaches 1.00: a model must beat that" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, ["Missing argument"]),
        (["nowhere.csv"], 3, ["nowhere.csv"]),
        (["phantm"], 4, ["phantm"]),
        ([PHANTOM, "--folds", "ten"], 2, ["--folds 'ten'"]),
        ([PHANTOM, "--folds", "1"], 2, ["at least 2"]),
        ([PHANTOM, "--folds", "90"], 3, ["fewer than 90 folds"]),
        ([PHANTOM, "--folds", "official"], 3, ["no split of its own"]),
        ([PHANTOM, "--folds", "nowhere-split.csv"], 3, ["nowhere-split.csv"]),
        ([PHANTOM, "--seed", "-1"], 2, ["--seed"]),
        ([PHANTOM, "--set", "preprocessing.sise=3"], 4, ["sise", "'size'"]),
        ([PHANTOM, "--set", "training.epochs=3"], 4, ["training.epochs=3"]),
        ([PHANTOM, "--format", "xml"], 2, ["xml"]),
        ([PHANTOM, "--folds", "2", "--output", "/dev/null/a.csv"], 6, ["/dev/null/a.csv"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line_with_its_exit_code(arguments, code, words):
    done = data_audit(*arguments)
    said = [
        line
        for line in done.stderr.splitlines()
        if not line.startswith(("preparing", "reading", "auditing"))
    ]
    assert done.exit_code == code, done.output
    assert len(said) == 1
    assert all(word in said[0] for word in words)
