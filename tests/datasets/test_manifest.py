"""Manifests: what a row becomes, and every problem of a file named at once."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from volbench.cli.main import main
from volbench.data.sources import open_dataset
from volbench.datasets.manifest import Manifest, ManifestError
from volbench.errors import DataError, SpecError, UnknownComponentError
from volbench.interfaces import Files
from volbench.spec import parse

TWO = "image,label,patient\na.nii,benign,p1\nb.nii,malignant,p2\n"


def manifest(folder: Path, text: str | bytes, **options) -> Manifest:
    path = folder / "manifest.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Manifest(path=str(path), **options)


def test_a_row_becomes_a_case(tmp_path):
    text = (
        "case,image,mask,patient,label,representative,fold,site,diameter_mm\n"
        "x,images/a.nii.gz,masks/a.nii.gz,p1,malignant,5; 3,0,Lyon,23.350\n"
        "y,/data/b.mha,,p2,benign,,1,Graz,4\n"
    )
    found = manifest(tmp_path, text)
    first, second = found.cases()
    assert found.classes == ("benign", "malignant")
    assert found.channels == ("image",)
    assert found.native_size is None
    assert (first.name, first.patient, first.label, first.fold) == ("x", "p1", "malignant", "0")
    assert first.source == Files(
        (tmp_path / "images/a.nii.gz",), tmp_path / "masks/a.nii.gz", plane=None
    )
    assert first.representative == (3, 5)
    assert first.strata == {"site": "Lyon", "diameter_mm": "23.350"}
    assert second.source == Files((Path("/data/b.mha"),), None)
    assert second.representative == ()


def test_only_image_label_and_patient_are_needed(tmp_path):
    cases = manifest(tmp_path, TWO.replace("a.nii", "deep/a.nii.gz").replace("b.nii", "b")).cases()
    assert [case.name for case in cases] == ["deep/a", "b"]
    assert [case.fold for case in cases] == [None, None]
    assert [dict(case.strata) for case in cases] == [{}, {}]


def test_named_image_columns_are_channels_in_their_order(tmp_path):
    text = "image:t2w,label,image:dwi,patient\na.nii,x,b.nii,p\nc.nii,y,d.nii,q\n"
    found = manifest(tmp_path, text)
    assert found.channels == ("t2w", "dwi")
    assert found.cases()[0].source.images == (tmp_path / "a.nii", tmp_path / "b.nii")
    assert found.cases()[0].strata == {}


def test_text_that_looks_missing_is_text(tmp_path):
    text = "image,label,patient,site\na.nii,NA,NA,nan\nb.nii,None,null,N/A\n"
    found = manifest(tmp_path, text)
    assert found.classes == ("NA", "None")
    assert [case.patient for case in found.cases()] == ["NA", "null"]
    assert [case.strata["site"] for case in found.cases()] == ["nan", "N/A"]


def test_classes_that_are_numbers_are_sorted_as_numbers(tmp_path):
    rows = "".join(f"{label}.nii,{label},p{label}\n" for label in ("10", "9", "-1"))
    assert manifest(tmp_path, "image,label,patient\n" + rows).classes == ("-1", "9", "10")


def test_classes_can_be_given_in_their_order(tmp_path):
    assert manifest(tmp_path, TWO, classes=("malignant", "benign")).classes == (
        "malignant",
        "benign",
    )
    numbers = TWO.replace("benign", "0").replace("malignant", "1")
    assert manifest(tmp_path, numbers, classes=(1, 0)).classes == ("1", "0")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace(",", " , ").encode(),
        lambda text: (text + "\n,,\n\n").encode(),
        lambda text: text.replace("p1", '"p1"').encode(),
    ],
    ids=["byte-order mark", "windows", "spaces", "blank lines", "quotes"],
)
def test_what_spreadsheets_write_is_read_the_same(change, tmp_path):
    assert list(manifest(tmp_path, change(TWO)).cases()) == list(manifest(tmp_path, TWO).cases())


def test_umlauts_and_commas_within_quotes_survive(tmp_path):
    text = 'image,label,patient,site\na.nii,x,Müller,"Köln, Süd"\nb.nii,y,q,\n'
    first = manifest(tmp_path, text).cases()[0]
    assert (first.patient, first.strata["site"]) == ("Müller", "Köln, Süd")


def test_a_plane_reaches_every_case(tmp_path):
    assert {case.source.plane for case in manifest(tmp_path, TWO, plane="coronal").cases()} == {
        "coronal"
    }
    with pytest.raises(ValueError, match="plane must be one of axial, coronal, sagittal, but got"):
        manifest(tmp_path, TWO, plane="third")


MALFORMED = {
    "empty file": ("", "empty; its first line names the columns"),
    "header only": ("image,label,patient\n", "has no rows below its first line"),
    "semicolons": (TWO.replace(",", ";"), "separated by semicolons; save it with commas"),
    "tabs": (TWO.replace(",", "\t"), "separated by tabs; save it with commas"),
    "latin-1": (TWO.replace("p1", "Jör").encode("latin-1"), "not UTF-8 at byte 34; save it as"),
    "utf-16": (TWO.encode("utf-16"), "not UTF-8 at byte 0"),
    "binary": (TWO + "\0", "not a text file"),
    "open quote": (TWO + '"c.nii,x,p3\n', "not CSV (unexpected end of data)"),
    "no label": ("image,patient\na.nii,p\n", "lacks the column 'label'; it has 'image', 'patient'"),
    "nothing known": ("a,b\n1,2\n", "lacks the column 'image' and 'label' and 'patient'"),
    "column twice": (
        TWO.replace("patient\n", "patient,patient\n").replace("p1", "p1,p1").replace("p2", "p2,p2"),
        "has the column 'patient' 2 times",
    ),
    "nameless column": (
        TWO.replace("\n", ",\n"),
        "has a column without a name; name it or remove it",
    ),
    "misspelt column": (
        TWO.replace("patient\n", "patient,Masks\n").replace("p1", "p1,m").replace("p2", "p2,m"),
        "has the column 'Masks', which volbench spells 'mask'; rename it",
    ),
    "image and channels": (
        "image,image:dwi,label,patient\na,b,x,p\nc,d,y,q\n",
        "has both 'image' and channels",
    ),
    "nameless channel": (
        "image:,label,patient\na,x,p\nb,y,q\n",
        "the column 'image:' without a name",
    ),
    "ragged row": (
        TWO + "c.nii,benign\n",
        "line 4: 2 cells where the first line has 3; quote a cell that holds a comma",
    ),
    "empty label": (TWO + "c.nii,,p3\n", "line 4: label is empty"),
    "empty patient": (TWO + "c.nii,benign,\n", "line 4: patient is empty"),
    "empty image": (TWO + " ,benign,p\n", "line 4: image is empty"),
    "image twice": (TWO + "./a.nii,benign,p3\n", "line 4: the image ./a.nii is on line 2 too"),
    "case twice": (
        "case,image,label,patient\nc,a,x,p\nc,b,y,q\n",
        "line 3: the case 'c' is on line 2 too",
    ),
    "one class": (TWO.replace("malignant", "benign"), "has one class only, 'benign'"),
    "1 and 1.0": (
        TWO.replace("benign", "1").replace("malignant", "1.0"),
        "'1' and '1.0' look like",
    ),
    "a composed letter": (
        TWO.replace("benign", "b\u00f6se").replace("malignant", "bo\u0308se"),
        "look like one class",
    ),
    "an invisible sign": (
        TWO + "c.nii,benign\ufeff,p3\n",
        "look like one class",
    ),
    "an image as a mask": (
        "image,mask,label,patient\na.nii,,x,p\nb.nii,./b.nii,y,q\nc.nii,a.nii,y,r\n",
        "line 3: the mask ./b.nii is the image of line 3; give its own file",
    ),
    "capitals": (TWO + "c.nii,Benign,p3\n", "the labels 'Benign' and 'benign' look like one class"),
    "slices by name": (
        "image,label,patient,representative\na,x,p,3;first\nb,y,q,\n",
        "line 2: representative '3;first' must be slice numbers from 0, ';' between them",
    ),
    "negative slice": (
        "image,label,patient,representative\na,x,p,-1\nb,y,q,\n",
        "line 2: representative '-1' must be",
    ),
}


@pytest.mark.parametrize("title", MALFORMED)
def test_a_malformed_manifest_is_refused_in_one_line(title, tmp_path):
    text, reason = MALFORMED[title]
    with pytest.raises(ManifestError) as raised:
        manifest(tmp_path, text)
    assert str(raised.value).startswith(f"{tmp_path / 'manifest.csv'}: ")
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)
    assert raised.value.exit_code == 3


@pytest.mark.parametrize(
    ("classes", "reason"),
    [
        (("benign", "worse"), "the label 'malignant' is not among"),
        (("benign", "malignant", "unsure"), "no row has the label 'unsure'"),
        (("benign", "benign", "malignant"), "names a class twice"),
        (("benign",), "is not among classes"),
    ],
)
def test_classes_must_be_those_of_the_rows(classes, reason, tmp_path):
    with pytest.raises(ManifestError, match=reason):
        manifest(tmp_path, TWO, classes=classes)


def test_all_problems_are_collected_and_the_message_counts_them(tmp_path):
    text = TWO + "c.nii,,p3\nd.nii,benign\na.nii,Benign,\n"
    with pytest.raises(ManifestError) as raised:
        manifest(tmp_path, text)
    problems = raised.value.problems
    assert [problem.partition(":")[0] for problem in problems[:4]] == [
        "line 5",
        "line 4",
        "line 6",
        "line 6",
    ]
    path = tmp_path / "manifest.csv"
    assert str(raised.value) == (
        f"{path}: {problems[0]} (and {len(problems) - 1} more: volbench data check {path})"
    )


def test_a_missing_manifest_is_named(tmp_path):
    with pytest.raises(ManifestError, match=r"none.csv: no such file; check the path$"):
        Manifest(path=str(tmp_path / "none.csv"))
    with pytest.raises(ManifestError, match=r"cannot be read \(Is a directory\)"):
        Manifest(path=str(tmp_path))


@pytest.mark.parametrize("images", [("a.nii", "scans\\b.nii"), ("scans\\a.nii", "scans\\b.nii")])
def test_a_path_as_windows_writes_it_is_told_how_it_is_written_here(images, tmp_path):
    (tmp_path / "a.nii").write_bytes(b"")
    rows = "".join(f"{name},T{n},p{n}\n" for n, name in enumerate(images, start=2))
    manifest(tmp_path, f"image,label,patient\n{rows}")
    done = CliRunner().invoke(main, ["data", "check", str(tmp_path / "manifest.csv")])
    said = " ".join(done.output.split())
    assert "b.nii: no such file; write its path with / instead of \\" in said


def test_the_path_of_a_csv_opens_a_manifest(tmp_path, monkeypatch):
    manifest(tmp_path, TWO)
    monkeypatch.chdir(tmp_path)
    dataset, spec = open_dataset("manifest.csv")
    assert isinstance(dataset, Manifest)
    assert spec == parse("manifest(path='manifest.csv')")
    again, same = open_dataset(str(spec))
    assert same == spec
    assert list(again.cases()) == list(dataset.cases())


def test_a_spec_opens_a_data_set():
    dataset, spec = open_dataset(" phantom( patients=20 ) ")
    assert len(dataset.cases()) == 20
    assert str(spec) == "phantom(patients=20, version=2)"


def test_what_is_no_data_set_is_refused_with_what_would_be(tmp_path):
    manifest(tmp_path, TWO)
    with pytest.raises(UnknownComponentError, match=r"Did you mean 'phantom'\?.* ending in \.csv"):
        open_dataset("phantm")
    for text in ("", "some/folder", "a.nii.gz"):
        with pytest.raises(DataError, match=r"is not a data set; give the path of a manifest"):
            open_dataset(text)
    with pytest.raises(DataError, match=r"did you mean .*manifest\.csv\?"):
        open_dataset(str(tmp_path))
    with pytest.raises(SpecError, match=r"\(did you mean 'path'\?\); its signature is man"):
        open_dataset("manifest(paht='x')")


def test_a_folder_or_spreadsheet_given_as_data_is_answered_with_what_to_give(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, holds in {
        "lab": "manifest.csv",
        "run": "experiment.json",
        "done": "index.json",
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / holds).write_text("", encoding="utf-8")
    (tmp_path / "run" / "audit.csv").touch()
    (tmp_path / "scans").mkdir()
    for text, answer in {
        "lab": "did you mean lab/manifest.csv?",
        "run": "it is a run; give the data that it was trained on",
        "./done": "it is a prepared folder, which .* give the manifest that it was made from",
        "scans": "`volbench data manifest` writes one from a table and a folder",
        "labels.xlsx": "`volbench data manifest labels.xlsx` writes a manifest from it",
    }.items():
        with pytest.raises(DataError, match=f"^'{text}' is not a data set; .*{answer}"):
            open_dataset(text)
