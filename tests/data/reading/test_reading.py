"""Reading sound volumes: formats agree, orientation and through-plane axis are right."""

import gzip
import shutil
import struct

import numpy as np
import pytest
import SimpleITK as sitk

from tests.helpers.volumes_on_disk import SHAPE, box, case, image, voxels, write, write_series
from volbench.data.reading import fingerprint, read_case, read_with_fingerprint
from volbench.datasets.phantom import Phantom
from volbench.errors import DataError
from volbench.interfaces import Case, Generated
from volbench.types import Scan

FILES = ["a.nii", "a.nii.gz", "a.nrrd", "a.nhdr", "a.mha", "a.mhd"]


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_the_voxels_and_spacing_that_were_written(name, compressed, tmp_path):
    scan = read_case(case(write(tmp_path / name, compressed=compressed)))
    np.testing.assert_array_equal(scan.image, voxels()[None])
    assert scan.spacing_mm == pytest.approx((3.0, 0.6, 0.5))
    assert scan.image.dtype == np.float32
    assert scan.image.flags.c_contiguous
    assert scan.mask is None


@pytest.mark.parametrize("kind", ["u1", "i1", "<u2", "<i2", "<i4", "<f4", "<f8"])
@pytest.mark.parametrize("name", ["a.nii", "a.nrrd", "a.mha"])
def test_every_voxel_type_is_read(name, kind, tmp_path):
    array = (voxels() % 100).astype(kind)
    scan = read_case(case(write(tmp_path / name, image(array))))
    np.testing.assert_array_equal(scan.image[0], array.astype(np.float32))


def test_a_dicom_series_is_sorted_by_position_whatever_its_files_are_called(tmp_path):
    folder = write_series(tmp_path / "series")
    (folder / "slice0.dcm").rename(folder / "z.dcm")
    (folder / ".DS_Store").write_bytes(b"left by a file manager")
    scan = read_case(case(folder, representative=(1,)))
    expected = np.stack([voxels(SHAPE[1:]) + 1000 * number for number in range(6)])
    np.testing.assert_array_equal(scan.image, expected[None])
    assert scan.spacing_mm == pytest.approx((3.0, 0.6, 0.5))
    assert scan.representative == (1,)


def test_a_dicom_series_reads_as_simpleitk_reads_it_when_it_is_oblique_and_rescaled(tmp_path):
    along = np.array([[0.8, 0.6, 0.0], [0.0, 0.0, -1.0]])  # coronal, turned about the body's axis
    normal = np.cross(*along)

    def tilt(number, made):
        made.ImageOrientationPatient = along.ravel().tolist()
        made.ImagePositionPatient = (np.array([5.0, 6.0, 7.0]) + 4.5 * number * normal).tolist()
        made.RescaleSlope, made.RescaleIntercept = 2, -1000
        return made

    folder = write_series(tmp_path / "series", change=tilt)
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    turned = sitk.DICOMOrient(sitk.ReadImage(names), "LPS")  # [superior, posterior, left]
    expected = np.moveaxis(sitk.GetArrayFromImage(turned), 1, 0)
    scan = read_case(case(folder))
    np.testing.assert_array_equal(scan.image[0], expected)
    assert scan.spacing_mm == pytest.approx((4.5, 0.6, 0.5))


def test_one_dicom_slice_takes_its_spacing_from_its_thickness(tmp_path):
    scan = read_case(case(write_series(tmp_path / "series", count=1)))
    assert scan.image.shape == (1, 1, 12, 10)
    assert scan.spacing_mm == pytest.approx((3.0, 0.6, 0.5))


def test_the_coarsest_axis_comes_first_and_the_others_keep_their_order(tmp_path):
    sagittal = image(voxels(), spacing=(4.0, 0.6, 0.5))
    scan = read_case(case(write(tmp_path / "a.nii", sagittal)))
    np.testing.assert_array_equal(scan.image[0], np.moveaxis(voxels(), 2, 0))
    assert scan.spacing_mm == pytest.approx((4.0, 0.5, 0.6))
    coronal = image(voxels(), spacing=(0.6, 4.0, 0.5))
    scan = read_case(case(write(tmp_path / "b.nii", coronal)))
    np.testing.assert_array_equal(scan.image[0], np.moveaxis(voxels(), 1, 0))
    assert scan.spacing_mm == pytest.approx((4.0, 0.5, 0.6))


@pytest.mark.parametrize("row_mm", [0.7, 0.695, 0.705])  # spacings that were rounded are equal
def test_where_pixels_are_coarser_than_slices_the_third_stored_axis_is_through_plane(
    row_mm, tmp_path
):
    fine = image(voxels(), spacing=(0.7, row_mm, 0.625))
    scan = read_case(case(write(tmp_path / "a.nii", fine)))
    np.testing.assert_array_equal(scan.image[0], voxels())
    assert scan.spacing_mm == pytest.approx((0.625, row_mm, 0.7))


def test_the_third_axis_of_the_file_decides_a_tie_even_if_it_is_not_the_body_axis(tmp_path):
    stored = image(voxels(), spacing=(1, 1, 1), direction=(0, 0, 1, 1, 0, 0, 0, 1, 0))
    scan = read_case(case(write(tmp_path / "a.nrrd", stored), representative=(0, 4)))
    # The third stored axis runs to the left: sagittal slices; rows are superior, columns posterior.
    np.testing.assert_array_equal(scan.image[0], voxels())
    assert scan.representative == (0, 4)


@pytest.mark.parametrize(("plane", "axis"), [("sagittal", 2), ("coronal", 1), ("axial", 0)])
def test_a_plane_that_is_asked_for_overrides_the_spacing(plane, axis, tmp_path):
    scan = read_case(case(write(tmp_path / "a.nii"), plane=plane))
    np.testing.assert_array_equal(scan.image[0], np.moveaxis(voxels(), axis, 0))


def test_a_volume_stored_upside_down_and_mirrored_reads_like_the_upright_one(tmp_path):
    upright = write(tmp_path / "a.nii")
    flipped = write(tmp_path / "b.nii", sitk.Flip(image(), [True, False, True], False))
    assert sitk.ReadImage(str(flipped)).GetDirection()[0] == -1
    one, other = read_case(case(upright)), read_case(case(flipped))
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(one.image[0], voxels())


def test_representative_slices_follow_a_flip(tmp_path):
    flipped = write(tmp_path / "a.nii", sitk.Flip(image(), [False, False, True], False))
    stored = sitk.GetArrayFromImage(sitk.ReadImage(str(flipped)))
    scan = read_case(case(flipped, representative=(0, 1)))
    assert scan.representative == (4, 5)
    np.testing.assert_array_equal(scan.image[0, 5], stored[0])
    np.testing.assert_array_equal(scan.image[0, 4], stored[1])


def test_a_mask_follows_its_image_even_if_it_is_stored_the_other_way(tmp_path):
    flipped = sitk.Flip(image(box()), [True, True, True], False)
    scan = read_case(case(write(tmp_path / "a.nii"), mask=write(tmp_path / "m.nrrd", flipped)))
    np.testing.assert_array_equal(scan.mask, box().astype(bool))


def test_every_voxel_above_zero_belongs_to_the_mask(tmp_path):
    labels = box().astype("<i2") * 3
    labels[0, 0, 0] = -1
    scan = read_case(case(write(tmp_path / "a.nii"), mask=write(tmp_path / "m.nii", image(labels))))
    np.testing.assert_array_equal(scan.mask, box().astype(bool))


def test_images_of_one_case_become_channels_in_their_order(tmp_path):
    second = write(tmp_path / "b.mha", image(-voxels()))
    scan = read_case(case(write(tmp_path / "a.nii"), second))
    np.testing.assert_array_equal(scan.image, np.stack([voxels(), -voxels()]))


def test_a_fourth_axis_of_length_one_is_dropped(tmp_path):
    made = sitk.JoinSeries([image()])
    scan = read_case(case(write(tmp_path / "a.nrrd", made)))
    np.testing.assert_array_equal(scan.image, voxels()[None])


def test_a_tilted_mask_grid_within_a_tenth_of_a_voxel_is_accepted(tmp_path):
    near = image(box(), origin=(-7.04, 11.0, 30.2))
    scan = read_case(case(write(tmp_path / "a.nii"), mask=write(tmp_path / "m.nii", near)))
    assert scan.mask.sum() == box().sum()


def test_equal_content_has_one_fingerprint_whatever_it_is_called(tmp_path):
    first = write(tmp_path / "a.nii")
    copy = tmp_path / "b.nii"
    shutil.copy(first, copy)
    assert fingerprint(case(first)) == fingerprint(case(copy))
    scan, found = read_with_fingerprint(case(first))
    assert found == fingerprint(case(first))
    assert len(found) == 64
    assert scan.image.shape == (1, *SHAPE)


def test_whatever_changes_the_scan_changes_the_fingerprint(tmp_path):
    plain, mask = write(tmp_path / "a.nii"), write(tmp_path / "m.nii", image(box()))
    other = write(tmp_path / "b.nii", image(voxels() + 1))
    header = write(tmp_path / "c.mhd")
    cases = [
        case(plain),
        case(other),
        case(plain, other),
        case(other, plain),
        case(plain, mask=mask),
        case(plain, plane="axial"),
        case(plain, representative=(1,)),
        case(header),
        case(write_series(tmp_path / "s")),
    ]
    prints = [fingerprint(one) for one in cases]
    assert len(set(prints)) == len(prints)
    assert prints == [read_with_fingerprint(one)[1] for one in cases]
    raw = tmp_path / "c.raw"
    raw.write_bytes(raw.read_bytes()[:-1] + b"\1")  # the header's own bytes stay the same
    assert fingerprint(case(header)) != prints[7]


def test_the_fingerprint_needs_no_image_reader(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "SimpleITK", None)
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(b"not looked into"))
    assert len(fingerprint(case(path))) == 64


class Noise(Generated):
    """A generated volume that says what it is told to."""

    def __init__(self, array: np.ndarray, representative: tuple[int, ...] = ()) -> None:
        self.scan = Scan(array, (3.0, 1.0, 1.0), representative=representative)

    def fingerprint(self) -> str:
        return "noise"

    def render(self) -> Scan:
        return self.scan


def test_a_generated_case_is_rendered_and_checked():
    array = voxels()[None]
    scan = read_case(Case("g", "p", "a", Noise(array), representative=(3, 2)))
    np.testing.assert_array_equal(scan.image, array)
    assert scan.representative == (2, 3)
    assert read_case(Case("g", "p", "a", Noise(array, (5,)))).representative == (5,)
    with pytest.raises(DataError, match=r"^case g: representative slice 6 of 6 slices"):
        read_case(Case("g", "p", "a", Noise(array), representative=(6,)))
    with pytest.raises(DataError, match=r"^case g: every voxel is 1"):
        read_case(Case("g", "p", "a", Noise(np.ones_like(array))))
    with pytest.raises(DataError, match=r"^case g: NaN"):
        read_case(Case("g", "p", "a", Noise(array * np.float32("nan"))))


def test_a_phantom_case_reads_as_it_renders():
    first = Phantom(patients=2, size=32).cases()[0]
    rendered = first.source.render()
    scan = read_case(first)
    np.testing.assert_array_equal(scan.image, rendered.image)
    assert scan.spacing_mm == rendered.spacing_mm
    assert scan.representative == tuple(sorted(rendered.representative))


def test_warnings_of_itk_stay_off_the_terminal(tmp_path, capfd):
    path = write(tmp_path / "a.nii")
    content = bytearray(path.read_bytes())
    struct.pack_into("<f", content, 88, 3.01)  # pixdim against sform: too little to refuse
    path.write_bytes(content)
    sitk.ReadImage(str(path))
    assert "unexpected scales" in capfd.readouterr().err
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    read_case(case(path))
    assert capfd.readouterr() == ("", "")
    assert sitk.ProcessObject.GetGlobalWarningDisplay() == before
