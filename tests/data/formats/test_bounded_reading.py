"""Reading in a child: one child for many images, limits of time and memory, either decoder."""

import gzip
import os

import nibabel
import numpy as np
import pytest
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from tests.faults.children import in_child
from tests.faults.odd_files import Stored, classic, enhanced
from tests.helpers.volumes_on_disk import case, slice_dataset, write_series
from volbench.data.formats import bounded_reading, dicom_pixels
from volbench.data.formats.dicom import load_series
from volbench.data.reading import read_case
from volbench.errors import DataError


def test_one_child_serves_many_images(tmp_path):
    read_case(case(write_series(tmp_path / "a")))
    (first,) = bounded_reading._children
    read_case(case(write_series(tmp_path / "b")))
    (second,) = bounded_reading._children
    assert first.process.pid == second.process.pid
    first.process.kill()
    first.process.wait()
    assert read_case(case(tmp_path / "a")).image.shape == (1, 6, 12, 10)


def test_a_fork_starts_a_child_of_its_own(tmp_path):
    path = write_series(tmp_path / "a")
    here = read_case(case(path))
    before = bounded_reading._children[0].process.pid

    def work():
        scan = read_case(case(path))
        return bounded_reading._children[0].process.pid, scan.image

    ending = in_child(work, tmp_path / "said")
    assert ending.code == 0, ending.errors
    there, image = ending.value
    assert there != before
    np.testing.assert_array_equal(image, here.image)
    np.testing.assert_array_equal(read_case(case(path)).image, here.image)


def test_a_bomb_takes_no_more_than_its_share_of_memory(tmp_path):
    header = nibabel.freesurfer.mghformat.MGHHeader()
    header.set_data_shape((1024, 1024, 800))
    header.set_data_dtype(np.float32)
    path = tmp_path / "a.mgz"
    with gzip.open(path, "wb", 1) as file:
        file.write(header.binaryblock)
        file.write(bytes(2**24))
    with pytest.raises(DataError, match=r"a\.mgz: (cannot be read|.*truncated)"):
        read_case(case(path))


def test_reading_without_an_end_is_ended(tmp_path, monkeypatch):
    path = write_series(tmp_path / "a", count=60)
    read_case(case(path))
    monkeypatch.setattr(bounded_reading, "SECONDS", 1e-4)
    monkeypatch.setattr(bounded_reading, "SECONDS_PER_MB", 0)
    monkeypatch.setattr(bounded_reading, "SECONDS_PER_FILE", 0)
    with pytest.raises(DataError, match="takes more than 0 s or ends the library"):
        read_case(case(path))
    monkeypatch.undo()
    read_case(case(path))


@pytest.mark.parametrize("syntax", ["RLE", "JPEG 2000", "JPEG-LS"])
@pytest.mark.parametrize("make", [classic, lambda *told: enhanced(*told, alone=True)])
def test_gdcm_decodes_the_same_where_no_plugin_does(syntax, make, tmp_path, monkeypatch):
    path, values, _ = make(tmp_path, 3, syntax, Stored(12, signed=True, slope=2.0))
    by_plugin = load_series(path).voxels
    monkeypatch.setattr(dicom_pixels, "TRUSTED", ())
    np.testing.assert_array_equal(load_series(path).voxels, by_plugin)
    np.testing.assert_array_equal(np.sort(by_plugin, axis=None), np.sort(values, axis=None))


def test_what_no_decoder_reads_is_told_what_to_install(tmp_path, monkeypatch):
    path, _, _ = classic(tmp_path, 3, "JPEG-LS", Stored(12, signed=False))
    monkeypatch.setattr(dicom_pixels, "TRUSTED", ())
    for file in path.iterdir():  # a stream that nobody reads
        content = file.read_bytes()
        file.write_bytes(content.replace(b"\xff\xf7", b"\xff\xfb", 1))
    with pytest.raises(DataError, match=r"JPEG-LS.*pip install 'volbench\[dicom\]'"):
        load_series(path)


@pytest.mark.parametrize("uid", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_compressed_pixels_that_end_early_are_refused(uid, tmp_path):
    def cut(number, made):
        made.Rows, made.Columns = 64, 48
        made.PixelData = (np.arange(64 * 48, dtype="<u2") % 4000).tobytes()
        made.compress(uid)
        if number == 2:
            from pydicom.encaps import encapsulate, generate_frames

            (stream,) = generate_frames(made.PixelData, number_of_frames=1)
            made.PixelData = encapsulate([stream[: len(stream) // 2 * 2 - 40]])
        return made

    with pytest.raises(DataError, match=r"slice2\.dcm: (truncated|corrupt)"):
        read_case(case(write_series(tmp_path / "series", change=cut)))


def test_frames_of_two_volumes_are_told_by_what_differs(tmp_path):
    path, _, _ = enhanced(tmp_path, 0, "explicit", Stored(12, signed=False), alone=True)
    import pydicom

    made = pydicom.dcmread(path)
    for number, frame in enumerate(made.PerFrameFunctionalGroupsSequence):
        position = frame.PlanePositionSequence[0]
        position.ImagePositionPatient = [0, 0, 4 * (number // 2)]
        echo = slice_dataset(0)
        echo.clear()
        echo.EffectiveEchoTime = 10.0 + number % 2
        frame.MREchoSequence = [echo]
    plane = made.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    made.save_as(path)
    with pytest.raises(DataError, match=r"more than one volume, .* differ in the echo time"):
        read_case(case(path))


@pytest.mark.parametrize("name", ["a.dcm", "a.mgz", "a.nii", "a.nrrd", "a.hdr", "series"])
def test_a_pipe_is_refused_without_waiting_for_its_writer(name, tmp_path):
    path = tmp_path / name
    if name == "series":
        path = write_series(path)
        os.mkfifo(path / "slice9.dcm")
    else:
        os.mkfifo(path)
    with pytest.raises(DataError, match="not a regular file"):
        read_case(case(path))
