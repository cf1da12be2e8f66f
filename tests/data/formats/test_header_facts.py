"""What a header says besides its voxels, for the shortcut audit; never who or which device."""

import numpy as np
import pytest

from tests.helpers.volumes_on_disk import image, voxels, write, write_series
from volbench.data.formats.header_facts import header_facts


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha", ".mhd", ".nhdr"])
def test_orientation_place_and_type_are_read_from_the_header_alone(suffix, tmp_path):
    made = image(voxels(kind="<i2"), direction=(0, 0, 1, 1, 0, 0, 0, 1, 0))
    found = header_facts(write(tmp_path / f"a{suffix}", made))
    assert found["orientation"] == "PSL"
    assert found["tilt degrees"] == "0.0"
    assert (found["origin right mm"], found["origin superior mm"]) == ("7", "30")
    assert found["voxel type"] in ("i2", "short", "MET_SHORT")


def test_a_series_tells_its_acquisition_and_not_its_patient_or_manufacturer(tmp_path):
    def change(number, made):
        made.Manufacturer, made.StationName, made.InstitutionName = "ACME", "MR7", "Hospital"
        made.EchoTime, made.RescaleSlope, made.RescaleIntercept = 90, 2, -7
        made.PatientName, made.StudyDate = "Doe^Jane", "20200101"
        return made

    found = header_facts(write_series(tmp_path / "series", change=change))
    assert (found["echo time"], found["slope"], found["bits stored"]) == ("90.0", "2.0", "16")
    assert found["orientation"] == "LPS"
    text = " ".join(found.values())
    assert not any(word in text for word in ("ACME", "MR7", "Hospital", "Doe", "Jane", "20200101"))


def test_of_what_cannot_be_read_nothing_is_said(tmp_path):
    (tmp_path / "a.nii").write_bytes(b"no image" * 99)
    (tmp_path / "b.txt").write_text("no image")
    for path in (tmp_path / "a.nii", tmp_path / "b.txt", tmp_path / "missing.nrrd"):
        assert header_facts(path) == {}


def test_free_text_is_no_fact(tmp_path):
    path = write(tmp_path / "a.nrrd", image(voxels().astype(np.float32)))
    whole = path.read_bytes().replace(b"space: left-posterior-superior", b"space: <Jane Doe>")
    path.write_bytes(whole)
    assert "space" not in header_facts(path)
