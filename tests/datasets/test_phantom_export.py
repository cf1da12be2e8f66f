"""The phantom written as files."""

import csv
import inspect

import numpy as np
import pytest
import SimpleITK as sitk
from click.testing import CliRunner

from volbench.cli.data.phantom import command
from volbench.datasets.phantom import Phantom
from volbench.datasets.phantom.export import export
from volbench.errors import StateError, UsageError


def quiet(done, total):
    pass


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def phantom():
    return Phantom(patients=4, size=24, slices=(3, 6), difficulty=0.7, seed=11)


@pytest.mark.parametrize("form", ["nifti", "nrrd", "mha"])
def test_reading_back_gives_the_same_voxels_and_geometry(phantom, tmp_path, form):
    manifest = export(phantom, tmp_path / "out", form=form, report=quiet)
    listed = rows(manifest)
    assert len(listed) == 4
    for row, case in zip(listed, phantom.cases(), strict=True):
        scan = case.source.render()
        image = sitk.ReadImage(str(manifest.parent / row["image"]))
        mask = sitk.ReadImage(str(manifest.parent / row["mask"]))
        assert image.GetPixelID() == sitk.sitkInt16
        assert np.array_equal(sitk.GetArrayFromImage(image), scan.image[0])
        assert np.array_equal(sitk.GetArrayFromImage(mask) > 0, scan.mask)
        assert image.GetSpacing() == pytest.approx(scan.spacing_mm[::-1], rel=1e-6)
        assert mask.GetSpacing() == image.GetSpacing()
        assert image.GetSize() == (24, 24, scan.image.shape[1])
        assert np.argmax(image.GetSpacing()) == 2 or image.GetSpacing()[0] > 3


def test_the_manifest_lists_every_case_with_its_strata(phantom, tmp_path):
    manifest = export(phantom, tmp_path, report=quiet)
    for row, case in zip(rows(manifest), phantom.cases(), strict=True):
        assert row["label"] == case.label
        assert row["patient"] == case.patient
        assert row["case"] == case.name
        assert row["representative"].split(";") == [str(n) for n in case.representative]
        assert {name: row[name] for name in case.strata} == dict(case.strata)
    truth = rows(tmp_path / "truth.csv")
    volumes = [volume.patient.tumour_volume_cm3 for volume in phantom.volumes]
    assert [float(row["tumour_volume_cm3"]) for row in truth] == pytest.approx(volumes, abs=1e-4)


def test_a_folder_that_holds_something_is_left_alone(phantom, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StateError) as caught:
        export(phantom, tmp_path, report=quiet)
    assert str(caught.value) == f"{tmp_path} is not empty and holds no phantom; name a new folder"
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_the_same_call_leaves_a_finished_phantom_as_it_is(phantom, tmp_path):
    """And puts back what is missing; a person's own files beside it do not matter."""
    manifest = export(phantom, tmp_path, report=quiet)
    (tmp_path / "notes.txt").write_text("mine")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    (lost, _, *kept) = sorted((tmp_path / "images").iterdir())
    times = [path.stat().st_mtime_ns for path in kept]
    lost.unlink()
    sorted((tmp_path / "masks").iterdir())[1].unlink()
    assert export(phantom, tmp_path, report=quiet) == manifest
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert [path.stat().st_mtime_ns for path in kept] == times


def test_a_finished_phantom_is_not_written_over_by_another(phantom, tmp_path):
    export(phantom, tmp_path, report=quiet)
    with pytest.raises(StateError, match="holds a phantom with other options; use the same, or"):
        export(Phantom(patients=4, size=24), tmp_path, report=quiet)


def test_what_a_person_changed_in_the_manifest_is_not_written_over(phantom, tmp_path):
    manifest = export(phantom, tmp_path, report=quiet)
    manifest.write_text(manifest.read_text() + "images/mine.nii.gz,T2,mine\n")
    with pytest.raises(StateError, match=r"manifest\.csv was changed; name a new folder"):
        export(phantom, tmp_path, report=quiet)


def test_a_file_in_place_of_the_folder_is_refused(phantom, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(StateError, match="is a file; name a new folder"):
        export(phantom, tmp_path / "out", report=quiet)


class CutError(Exception):
    pass


def cut_after(number):
    def report(done, total):
        if done == number:
            raise CutError

    return report


def test_an_interrupted_export_has_no_manifest_and_is_continued(phantom, tmp_path):
    with pytest.raises(CutError):
        export(phantom, tmp_path, report=cut_after(2))
    assert not (tmp_path / "manifest.csv").exists()
    kept = sorted((tmp_path / "images").iterdir())
    assert len(kept) == 2
    times = [path.stat().st_mtime_ns for path in kept]
    manifest = export(phantom, tmp_path, report=quiet)
    assert [path.stat().st_mtime_ns for path in kept] == times
    assert all((tmp_path / row["image"]).exists() for row in rows(manifest))


def test_an_interrupted_export_is_not_continued_with_other_options(phantom, tmp_path):
    with pytest.raises(CutError):
        export(phantom, tmp_path, report=cut_after(1))
    with pytest.raises(StateError, match="unfinished phantom with other options"):
        export(phantom, tmp_path, form="nrrd", report=quiet)
    with pytest.raises(StateError, match="unfinished phantom with other options"):
        export(Phantom(patients=4, size=24), tmp_path, report=quiet)
    (tmp_path / "phantom.json").write_text("{")
    with pytest.raises(StateError, match="unfinished phantom with other options"):
        export(phantom, tmp_path, report=quiet)


def test_the_command_writes_what_it_is_asked(tmp_path):
    out = tmp_path / "out"
    options = ["--patients=2", "--size=16", "--slices=2-3", "--seed=4", "--difficulty=1"]
    result = CliRunner().invoke(
        command, [str(out), *options, "--format=nrrd"], catch_exceptions=False
    )
    assert result.exit_code == 0
    assert f"{out / 'manifest.csv'}: 2 cases" in result.output
    phantom = Phantom(patients=2, size=16, slices=(2, 3), seed=4, difficulty=1)
    for row, case in zip(rows(out / "manifest.csv"), phantom.cases(), strict=True):
        assert row["image"].endswith(".nrrd")
        voxels = sitk.GetArrayFromImage(sitk.ReadImage(str(out / row["image"])))
        assert np.array_equal(voxels, case.source.render().image[0])


def test_the_command_has_the_defaults_of_the_data_set():
    signature = inspect.signature(Phantom)
    context = command.make_context("phantom", ["out"])
    given = {name: context.params[name] for name in signature.parameters}
    assert given == {name: item.default for name, item in signature.parameters.items()}


@pytest.mark.parametrize("text", ["few", "5-", "-5", "5-x", "5:10"])
def test_the_command_refuses_slices_it_cannot_read(tmp_path, text):
    result = CliRunner().invoke(command, [str(tmp_path / "out"), f"--slices={text}"])
    assert result.exit_code == 2
    assert f"{text!r} is neither a number nor a range such as 3-6." in result.output


def test_the_command_refuses_a_figure_out_of_range_before_writing(tmp_path):
    with pytest.raises(UsageError, match="difficulty must be between 0 and 1"):
        CliRunner().invoke(
            command, [str(tmp_path / "out"), "--difficulty=2"], catch_exceptions=False
        )
    assert not (tmp_path / "out").exists()
