"""Checking and describing whole data sets, from Python and from the command line."""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from click.testing import CliRunner

from tests.helpers.volumes_on_disk import SHAPE, box, image, voxels, write
from volbench._utils import process_pool
from volbench.cli.main import main
from volbench.data.checking.check import check
from volbench.data.checking.describe import Range, describe
from volbench.data.checking.survey import survey
from volbench.data.sources import open_dataset
from volbench.errors import DataError
from volbench.interfaces import Card, Case, Dataset, Generated
from volbench.types import Scan

CARD = Card("Made up", "CC0", "nobody")


@dataclass(frozen=True)
class Ramp(Generated):
    """A volume of its own for every number; number 13 fails, number 666 ends its process."""

    number: int
    shape: tuple[int, int, int] = (4, 6, 6)
    channels: int = 1
    spacing_mm: tuple[float, float, float] = (3.0, 1.0, 1.0)

    def fingerprint(self) -> str:
        return str(self)

    def render(self) -> Scan:
        if self.number == 13:
            raise ZeroDivisionError("no luck\nat all")
        if self.number == 666:
            os._exit(1)
        size = self.channels * int(np.prod(self.shape))
        ramp = np.arange(size, dtype=np.float32).reshape(self.channels, *self.shape)
        return Scan(ramp + self.number, self.spacing_mm)


class MadeUp(Dataset):
    """Cases handed over."""

    card = CARD
    classes = ("a", "b")

    def __init__(self, *cases: Case) -> None:
        self._cases = cases

    def cases(self) -> Sequence[Case]:
        return self._cases


def ramp(number: int, *, label: str = "a", patient: str | None = None, **others) -> Case:
    fields = {"fold", "strata", "name"}
    case = {key: others.pop(key) for key in fields & others.keys()}
    name = case.pop("name", f"case{number}")
    return Case(name, patient or f"p{number}", label, Ramp(number, **others), **case)


def enough(*more: Case) -> MadeUp:
    """Ten sound patients of each class, and some more cases."""
    sound = [ramp(100 + number, label="ab"[number % 2]) for number in range(20)]
    return MadeUp(*sound, *more)


def test_a_sound_data_set_is_clean():
    report = check(enough())
    assert report.clean
    assert (report.problems, report.warnings, report.notes) == ((), (), ())
    facts = report.surveyed[0].facts
    assert (facts.channels, facts.slices, facts.rows, facts.columns) == (1, 4, 6, 6)
    assert facts.anisotropy == 3


@pytest.mark.parametrize(
    ("cases", "problem"),
    [
        ([ramp(13)], "case case13: cannot be read (ZeroDivisionError: no luck at all)"),
        ([ramp(1, channels=2)], "case case1: 2 channels, its data set has 1"),
        ([ramp(1, label="c")], "the label 'c' is not among the classes a, b"),
        ([ramp(1), ramp(2, name="case1")], "the case 'case1' is there 2 times; names must be"),
        (
            [ramp(1, patient="P", fold="0"), ramp(2, patient="P", fold="1")],
            "patient P is in the folds 0, 1; keep to one",
        ),
        ([ramp(1, fold="0")], "20 of 21 cases have no fold; give all of them one, or none"),
    ],
)
def test_a_problem_is_reported(cases, problem):
    report = check(enough(*cases))
    assert not report.clean
    assert any(found.startswith(problem) for found in report.problems), report.problems


def test_every_problem_is_collected():
    report = check(enough(ramp(13), ramp(13, name="other"), ramp(1, label="c")))
    assert len(report.problems) == 3


def test_no_cases_and_another_size_than_promised_are_problems():
    assert check(MadeUp()).problems == ("there are no cases",)
    dataset = enough(ramp(1, shape=(4, 6, 5)))
    dataset.native_size = 6
    assert check(dataset).problems == ("case case1: 6x5 pixels, its data set has 6x6",)


def test_a_doubtful_data_set_is_warned_of_but_clean():
    twin = ramp(101, name="twin", patient="another", label="b")
    both = [ramp(1, patient="P"), ramp(2, patient="P", label="b")]
    report = check(enough(twin, *both), allow_duplicates=True)
    assert report.clean
    assert report.warnings == (
        "patients with cases of more than one class: 1, the first is P",
        "cases case101 and twin are equal voxel for voxel, of the patients 'p101' and 'another'; "
        "remove one, or use --allow-duplicates",
    )
    assert check(enough(twin, *both)).problems == report.warnings[1:]


def test_a_tiny_class_is_warned_of():
    (warning,) = check(MadeUp(*(ramp(n, label="ab"[n < 9]) for n in range(20) if n != 13))).warnings
    assert warning == "class 'b' has 9 patients; ten folds cannot all hold one"


def test_unlike_volumes_are_noted():
    others = [ramp(1, spacing_mm=(6.0, 1.6, 2.0)), ramp(2, spacing_mm=(0.5, 0.8, 0.8))]
    assert check(enough(*others)).notes == (
        "slices are 0.5 to 6 mm apart",
        "pixels are 0.8 to 1.6 mm wide",
        "1 of 22 volumes are finer across their slices than within them",
        "1 of 22 volumes have pixels that are not square",
    )


def test_progress_is_told_case_by_case():
    told: list[tuple[int, int]] = []
    check(enough(ramp(13)), on_case=lambda done, total: told.append((done, total)))
    assert told == [(done, 21) for done in range(1, 22)]


def test_several_processes_find_what_one_does(monkeypatch):
    monkeypatch.setattr(process_pool, "START_S", -1.0)
    dataset = MadeUp(*(ramp(number) for number in range(128)))
    told: list[int] = []
    found = survey(dataset, jobs=2, on_case=lambda done, total: told.append(done))
    assert found == survey(dataset, jobs=1)
    assert [one.case.name for one in found] == [f"case{number}" for number in range(128)]
    assert found[13].problem
    assert told == list(range(1, 129))


def test_a_killed_worker_is_one_line(monkeypatch):
    monkeypatch.setattr(process_pool, "START_S", -1.0)
    dataset = MadeUp(*(ramp(number) for number in (*range(12), *range(550, 667))))
    with pytest.raises(DataError, match=r"^a worker process was killed while reading 129 cases"):
        survey(dataset, jobs=2)


def test_a_description_counts_and_measures():
    cases = [
        ramp(1, shape=(4, 6, 6), strata={"site": "x", "age": "30"}),
        ramp(2, shape=(7, 8, 6), strata={"site": "y", "age": ""}, label="b"),
        ramp(3, shape=(5, 6, 6), strata={"site": "x"}, patient="p2"),
        ramp(13),
    ]
    dataset = MadeUp(*cases)
    found = describe(dataset, survey(dataset))
    assert (found.cases, found.patients, found.unreadable) == (4, 3, 1)
    assert found.classes == {"a": 3, "b": 1}
    assert found.slices == Range(4, 5, 7)
    assert found.rows == Range(6, 6, 8)
    assert found.anisotropy == Range(3, 3, 3)
    assert found.strata["site"] == {"x": 2, "": 1, "y": 1}
    assert found.masks == 0
    assert found.region_percent is None


def test_a_column_of_many_numbers_is_a_range_and_of_many_names_is_counted():
    cases = [
        ramp(number, strata={"mm": str(number / 2), "who": f"w{number}"})
        for number in range(20, 40)
    ]
    dataset = MadeUp(*cases)
    strata = describe(dataset, survey(dataset)).strata
    assert strata["mm"] == Range(10, 14.75, 19.5)
    assert strata["who"]["w20"] == 1


@pytest.fixture
def folder(tmp_path):
    """Twenty patients on disk, one with a mask."""
    rows = ["image,mask,label,patient,site"]
    for number in range(20):
        write(tmp_path / f"{number}.nii", image(voxels() + number))
        rows.append(f"{number}.nii,,{'T2' if number % 2 else 'T3'},p{number},x")
    write(tmp_path / "m.nii", image(box()))
    rows[1] = rows[1].replace(",,", ",m.nii,", 1)
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    return tmp_path


def data(command: str, *arguments: object):
    return CliRunner().invoke(main, ["data", command, *map(str, arguments)])


def test_the_check_of_sound_files_ends_with_0(folder):
    refused = data("check", folder / "manifest.csv")
    assert "problem: 19 of 20 cases have no mask (first: '1')" in refused.stdout
    result = data("check", folder / "manifest.csv", "--set", "preprocessing.crop=none")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        f"manifest(path='{folder}/manifest.csv'): 20 cases of 20 patients",
        "note: 20 of 20 volumes have pixels that are not square",
        "note: 1 of 20 volumes have a mask",
        "clean: every volume is whole and fits its data set; look at them: volbench data show "
        f"{folder}/manifest.csv --set preprocessing.crop=none",
    ]


def test_the_check_lists_every_damaged_file_and_ends_with_3(folder):
    for name in ("3.nii", "8.nii"):
        path = folder / name
        path.write_bytes(path.read_bytes()[:-1])
    (folder / "5.nii").unlink()
    whole = "preprocessing.crop=none"  # masks in some cases only are another problem
    result = data("check", folder / "manifest.csv", "--jobs", 1, "--set", whole)
    assert result.exit_code == 3
    problems = re.findall(r"^problem: \S+/(\S+): (\w+)", result.stdout, re.MULTILINE)
    assert problems == [("3.nii", "truncated"), ("5.nii", "no"), ("8.nii", "truncated")]
    assert result.stderr.splitlines()[-1] == (
        f"volbench: {folder}/manifest.csv: 3 problems; correct or remove these cases"
    )


def test_the_check_lists_every_problem_of_a_manifest_and_ends_with_3(folder):
    path = folder / "manifest.csv"
    path.write_text(path.read_text() + "\n20.nii,,,p20,x\n21.nii,,T2\n")
    result = data("check", path)
    assert result.exit_code == 3
    assert result.stdout.splitlines() == [
        "problem: line 23: 3 cells where the first line has 5; quote a cell that holds a comma",
        "problem: line 22: label is empty",
    ]
    assert result.stderr == f"volbench: {path}: 2 problems; no volume was read\n"


def test_the_check_of_what_is_no_data_set_is_one_line():
    result = data("check", "phantm")
    assert result.exit_code == 4
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1


def test_the_description_shows_counts_sizes_and_strata(folder):
    result = data("describe", folder / "manifest.csv")
    assert result.exit_code == 0, result.output
    shown = dict(re.split(r"  +", line, maxsplit=1) for line in result.stdout.splitlines())
    assert shown["patients"] == "20"
    assert shown["classes"] == "T2 10, T3 10 (positive: T3)"
    assert shown["masks"] == "1 of 20"
    assert shown["slices"] == "6 / 6 / 6"
    assert shown["slice spacing mm"] == "3 / 3 / 3"
    assert shown["slice : pixel spacing"] == "5.455 / 5.455 / 5.455"  # 3 / mean(0.5, 0.6)
    assert shown["stratum site"] == "x 20"
    sides = [f"{n * mm:.4g}" for n, mm in zip(inside_of(box()), (3, 0.6, 0.5), strict=True)]
    assert shown["mask, extent mm"] == ", ".join(
        f"{axis} {' / '.join([side] * 3)}"
        for axis, side in zip(("across slices", "rows", "columns"), sides, strict=True)
    )
    region = 100 * box().sum() / np.prod(SHAPE)
    assert shown["region, % of voxels"] == " / ".join([f"{region:.4g}"] * 3)


def inside_of(mask):
    """Voxels from the first to the last one inside, along each axis."""
    found = [np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    return [int(inside[-1] - inside[0] + 1) for inside in found]


def test_the_extent_of_each_label_of_a_mask_is_described(folder):
    labels = box().astype(np.uint8)
    inside = np.argwhere(labels)
    labels[tuple(inside[-1])] = 2
    write(folder / "m.nii", image(labels))
    found = json.loads(data("describe", folder / "manifest.csv", "--format", "json").stdout)
    extents = found["mask_extents_mm"]
    assert list(extents) == ["mask", "mask 1", "mask 2"]
    second = {name: values["max"] for name, values in extents["mask 2"].items()}
    assert second == pytest.approx({"slices": 3, "rows": 0.6, "columns": 0.5}, rel=1e-5)
    assert extents["mask"]["slices"]["max"] == inside_of(box())[0] * 3


def test_the_description_as_json_holds_the_same_figures(folder):
    result = data("describe", folder / "manifest.csv", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["classes"] == {"T2": 10, "T3": 10}
    assert found["slices"] == {"min": 6, "median": 6, "max": 6}
    assert found["card"]["title"] == "Manifest manifest.csv"
    assert found["data"] == f"manifest(path='{folder}/manifest.csv')"


def test_a_description_with_unreadable_volumes_says_so_and_ends_with_3(folder):
    (folder / "5.nii").unlink()
    path = folder / "manifest.csv"
    result = data("describe", path)
    assert result.exit_code == 3
    assert "cases" in result.stdout
    assert result.stderr.splitlines()[-1] == (
        f"volbench: {path}: 1 of 20 volumes cannot be read; volbench data check {path} lists them"
    )


def test_the_phantom_is_clean():
    dataset, _ = open_dataset("phantom(patients=6, size=32)")
    assert check(dataset).clean
