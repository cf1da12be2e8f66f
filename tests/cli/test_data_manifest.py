"""A manifest from a spreadsheet and a folder of images: every row has its file, or is named."""

import csv
import datetime
from pathlib import Path

import openpyxl
import pytest
from click.testing import CliRunner

from volbench.cli.main import main

USAGE, DATA = 2, 3
LABELS = "id,stage,site\n1,T2,A\n2,T3,B\n10,T3,A\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("1", "2", "10"):
        for kind in ("t2", "dwi", "roi"):
            path = Path("scans") / name / f"{kind}_{name}a.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    Path("labels.csv").write_text(LABELS)
    return tmp_path


def write(*arguments, table="labels.csv", image="scans/{id}/t2*.nii.gz"):
    words = ["data", "manifest", table, "--image", image, "--label", "stage", "--patient", "id"]
    return CliRunner().invoke(main, [*words, *arguments])


def rows(path="manifest.csv"):
    return list(csv.DictReader(Path(path).read_text().splitlines()))


def test_every_row_gets_the_file_that_its_columns_name(folder):
    done = write("--mask", "scans/{id}/roi*.nii.gz", "--keep", "site", "--output", "made/m.csv")
    assert done.exit_code == 0, done.output
    assert "wrote made/m.csv: 3 cases of 3 patients; T2 1, T3 2" in done.stdout
    assert rows("made/m.csv")[2] == {
        "image": "../scans/10/t2_10a.nii.gz",
        "mask": "../scans/10/roi_10a.nii.gz",
        "label": "T3",
        "patient": "10",
        "site": "A",
    }
    again = write("--mask", "scans/{id}/roi*.nii.gz", "--keep", "site", "--output", "made/m.csv")
    assert again.exit_code == 0
    other = write("--output", "made/m.csv")
    assert other.exit_code == USAGE
    assert "made/m.csv exists with other content" in other.stderr


def test_several_sequences_are_named(folder):
    done = write("--image", "dwi=scans/{id}/dwi*.nii.gz", image="t2w=scans/{id}/t2*.nii.gz")
    assert done.exit_code == 0, done.output
    assert rows()[0]["image:dwi"] == "scans/1/dwi_1a.nii.gz"
    unnamed = write("--image", "dwi=scans/{id}/dwi*.nii.gz", "--output", "other.csv")
    assert unnamed.exit_code == USAGE
    assert "name each of several" in unnamed.stderr


def test_a_number_is_not_the_start_of_another(folder):
    Path("scans/1/t2_1a.nii.gz").rename("t2_1a.nii.gz")
    done = write(image="scans/*/t2_{id}*.nii.gz")
    assert done.exit_code == DATA
    assert "line 2: no file matches scans/*/t2_1*.nii.gz" in done.stderr


def test_rows_without_a_file_are_refused_or_left_out_by_name(folder):
    Path("labels.csv").write_text(LABELS + "7,T2,A\n8,,A\n")
    Path("scans/8").mkdir()
    Path("scans/8/t2_8.nii.gz").touch()
    Path("scans/9").mkdir()
    Path("scans/9/t2_9.nii.gz").touch()
    refused = write()
    assert refused.exit_code == DATA
    assert "line 5: no file matches scans/7/t2*.nii.gz" in refused.stderr
    assert "line 6: its 'stage', the label, is empty" in refused.stderr
    assert not Path("manifest.csv").exists()
    done = write("--skip-missing")
    assert done.exit_code == 0
    assert [row["patient"] for row in rows()] == ["1", "2", "10"]
    assert "left out: line 5: no file matches" in done.stderr
    assert "1 file belongs to no row: scans/9/t2_9.nii.gz" in done.stderr


def test_a_repeated_row_is_refused_by_the_lines_of_the_table_or_left_out(folder):
    Path("labels.csv").write_text(LABELS + "2,T3,B\n")
    refused = write("--keep", "site")
    assert refused.exit_code == DATA
    assert "line 5: it repeats line 3" in refused.stderr
    done = write("--keep", "site", "--skip-missing")
    assert done.exit_code == 0
    assert "left out: line 5: it repeats line 3" in done.stderr
    assert [row["patient"] for row in rows()] == ["1", "2", "10"]


def test_rows_that_contradict_one_another_are_never_left_out(folder):
    Path("labels.csv").write_text(LABELS + "2,T2,B\n")
    done = write("--skip-missing")
    assert done.exit_code == DATA
    assert "line 5: scans/2/t2_2a.nii.gz is on line 3 too, with another label" in done.stderr
    assert not Path("manifest.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "image", "message"),
    [
        ((), "scans/{ID}/t2*.nii.gz", "no column 'ID'; did you mean 'id'?"),
        ((), "scans/1/t2*.nii.gz", "names no column"),
        (("--keep", "label"), "scans/{id}/t2*.nii.gz", "no column 'label'"),
        (("--sheet", "one"), "scans/{id}/t2*.nii.gz", "no Excel file"),
    ],
)
def test_what_cannot_be_meant_is_one_line(folder, arguments, image, message):
    done = write(*arguments, image=image)
    assert done.exit_code == USAGE
    assert message in done.stderr.replace("\n", " ")


def test_two_files_of_one_row_are_refused(folder):
    done = write(image="scans/{id}/*.nii.gz")
    assert done.exit_code == DATA
    assert "line 2: scans/1/*.nii.gz matches 3 files" in done.stderr


def test_semicolons_and_excel_are_read_as_they_are_seen(folder):
    Path("semicolons.csv").write_text(LABELS.replace(",", ";"))
    assert write(table="semicolons.csv").exit_code == 0
    expected = rows()
    book = openpyxl.Workbook()
    sheet = book.active
    for cells in (["id", "stage", "seen"], [1, "T2", None], [2.0, "T3", None], [10, "T3", None]):
        sheet.append(cells)
    sheet["C2"] = datetime.datetime(2021, 3, 4)
    book.save("labels.xlsx")
    assert write("--output", "excel.csv", table="labels.xlsx").exit_code == 0
    assert rows("excel.csv") == expected
    assert write("--keep", "seen", "--output", "kept.csv", table="labels.xlsx").exit_code == 0
    assert [row["seen"] for row in rows("kept.csv")] == ["2021-03-04", "", ""]
    book.create_sheet("notes")
    book.save("two.xlsx")
    several = write(table="two.xlsx")
    assert several.exit_code == USAGE
    assert "it has the sheets Sheet, notes" in several.stderr
    assert write("--sheet", "Sheet", "--output", "excel.csv", table="two.xlsx").exit_code == 0


def test_a_file_that_is_no_spreadsheet_is_one_line(folder):
    Path("broken.xlsx").write_bytes(b"PK\x03\x04 nothing")
    done = write(table="broken.xlsx")
    assert done.exit_code == DATA
    assert "broken.xlsx: not an Excel file" in done.stderr
    assert write(table="missing.csv").exit_code == DATA


def test_zeros_that_a_spreadsheet_dropped_are_asked_for_and_can_be_written(folder):
    for number in (1, 2, 10):
        Path(f"scans/p{number:03}.nii").touch()
    refused = write(image="scans/p{id}.nii")
    assert refused.exit_code == DATA
    said = " ".join(refused.stderr.split())
    assert "there is scans/p001.nii, so write {id:03} for 3 digits" in said
    done = write(image="scans/p{id:03}.nii")
    assert done.exit_code == 0, done.output
    assert [row["image"] for row in rows()] == [f"scans/p{n:03}.nii" for n in (1, 2, 10)]
    assert [row["patient"] for row in rows()] == ["1", "2", "10"]


def test_no_zeros_are_asked_for_where_no_file_has_them(folder):
    assert "digits" not in write(image="scans/q{id}.nii").stderr


def test_no_zeros_are_asked_for_where_the_image_is_there_and_a_cell_is_empty(folder):
    table = Path("labels.csv").read_text().splitlines()
    Path("empty.csv").write_text("\n".join([f"{table[0]},nothing", *(f"{t}," for t in table[1:])]))
    for number in (1, 2, 10):
        Path(f"scans/p{number}.nii").touch()
    refused = write("--label", "nothing", image="scans/p{id}.nii", table="empty.csv")
    assert refused.exit_code == DATA
    assert "its 'nothing', the label, is empty" in refused.stderr
    assert "digits" not in refused.stderr


def test_zeros_of_a_mask_are_asked_for_too(folder):
    for number in (1, 2, 10):
        Path(f"scans/p{number}.nii").touch()
        Path(f"scans/m{number:03}.nii").touch()
    refused = write("--mask", "scans/m{id}.nii", image="scans/p{id}.nii")
    said = " ".join(refused.stderr.split())
    assert "there is scans/m001.nii, so write {id:03} for 3 digits" in said


def test_decimal_commas_become_numbers_and_thousands_stay(folder):
    Path("labels.csv").write_text(
        "id;stage;cea;cells;note\n1;T2;1,25;1,250;a,b\n2;T3;;2,000;x\n10;T3;12,0;3,100;1,5\n"
    )
    done = write("--keep", "cea", "--keep", "cells", "--keep", "note")
    assert done.exit_code == 0, done.output
    assert [row["cea"] for row in rows()] == ["1.25", "", "12.0"]
    assert [row["cells"] for row in rows()] == ["1,250", "2,000", "3,100"]
    assert [row["note"] for row in rows()] == ["a,b", "x", "1,5"]


def test_the_class_that_counts_as_positive_is_said(folder):
    Path("labels.csv").write_text("id,stage\n1,yes\n2,no\n10,no\n")
    assert "no 2, yes 1 (positive: yes)" in write().stdout
