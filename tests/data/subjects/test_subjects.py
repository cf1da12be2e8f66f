"""Cases as TorchIO subjects: the same voxels as before, behind the same checks."""

import shutil
from dataclasses import replace

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch
import torchio as tio

from tests.data.formats.test_refusals import REFUSALS
from tests.helpers.volumes_on_disk import SHAPE, box, case, image, voxels, write, write_series
from volbench.data.reading import fingerprint, read_case, read_with_fingerprint
from volbench.data.subjects.read import subject_of
from volbench.data.subjects.scan import affine_of, to_subject
from volbench.errors import DataError
from volbench.interfaces import Case, Files, SubjectSource

OBLIQUE = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)
SAGITTAL = (0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0)


def as_subject(files: Case) -> Case:
    """The same case, brought by a TorchIO user."""
    assert isinstance(files.source, Files)
    images = {
        f"image_{number}": tio.ScalarImage(path, verify_path=False)
        for number, path in enumerate(files.source.images)
    }
    mask = None
    if files.source.mask is not None:
        images["mask"], mask = tio.LabelMap(files.source.mask, verify_path=False), "mask"
    names = tuple(name for name in images if name != "mask")
    source = SubjectSource(tio.Subject(images), names, mask, plane=files.source.plane)
    return Case("one", "patient", "benign", source, files.representative)


@pytest.mark.parametrize("direction", [(1, 0, 0, 0, 1, 0, 0, 0, 1), OBLIQUE, SAGITTAL])
@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_voxels_spacing_and_orientation_are_those_of_simpleitk_alone(tmp_path, direction, suffix):
    path = write(tmp_path / f"a{suffix}", image(voxels(kind="<i2"), direction=direction))
    alone = sitk.DICOMOrient(sitk.ReadImage(str(path)), "LPS")
    spacing, array = alone.GetSpacing(), sitk.GetArrayFromImage(alone)
    axis = int(np.argmax(spacing))
    scan = read_case(as_subject(case(path)))
    assert np.array_equal(scan.image[0], np.moveaxis(array, 2 - axis, 0))
    assert scan.spacing_mm[0] == pytest.approx(spacing[axis], rel=1e-6)
    assert scan.plane == ("sagittal", "coronal", "axial")[axis]
    first = scan.affine @ [0, 0, 0, 1]
    assert first[:3] == pytest.approx(np.array(alone.GetOrigin()) * [-1, -1, 1], abs=1e-4)


def test_a_subject_of_files_is_the_case_that_a_manifest_lists(tmp_path):
    listed = case(write(tmp_path / "a.nii.gz"), mask=write(tmp_path / "m.nrrd", image(box())))
    brought = as_subject(listed)
    ours, theirs = read_case(listed), read_case(brought)
    assert np.array_equal(ours.image, theirs.image)
    assert np.array_equal(ours.mask, theirs.mask)
    assert ours.spacing_mm == theirs.spacing_mm
    assert np.array_equal(ours.affine, theirs.affine)
    assert fingerprint(listed) == fingerprint(brought) == read_with_fingerprint(brought)[1]


def test_a_case_is_a_subject_with_what_is_said_of_it(tmp_path):
    path = write(tmp_path / "a.nii.gz")
    loaded = subject_of(case(path, strata={"site": "A", "plot": "hides nothing"}), ("t2w",))
    assert isinstance(loaded.subject["t2w"], tio.ScalarImage)
    assert (loaded.subject["label"], loaded.subject["site"]) == ("benign", "A")
    assert callable(loaded.subject.plot)


@pytest.mark.parametrize("title", REFUSALS)
def test_what_is_refused_is_refused_of_a_subject_too(title, tmp_path):
    make, name, _ = REFUSALS[title]
    bad = make(tmp_path)
    with pytest.raises(DataError) as caught:
        read_case(as_subject(bad))
    assert name in str(caught.value) or "one" in str(caught.value)


def test_nifti_2_pairs_and_what_only_torchio_reads_are_read_too(tmp_path):
    stored = np.random.default_rng(0).random((12, 10, 4)).astype(np.float32)
    affine = np.diag([-0.5, -0.6, 4.0, 1.0])
    nibabel.save(nibabel.freesurfer.MGHImage(stored, affine), tmp_path / "a.mgz")
    nibabel.save(nibabel.Nifti1Pair(stored, affine), tmp_path / "a.img")
    nibabel.save(nibabel.Nifti2Image(stored, affine), tmp_path / "b.nii.gz")
    for name in ("a.mgz", "a.img", "a.hdr", "b.nii.gz"):
        scan = read_case(case(tmp_path / name))
        brought = read_case(as_subject(case(tmp_path / name)))
        assert np.array_equal(scan.image, brought.image), name
        assert np.array_equal(scan.image[0], stored.T), name
        assert scan.spacing_mm == pytest.approx((4.0, 0.6, 0.5)), name


def test_a_pair_has_the_content_of_both_halves(tmp_path):
    stored = np.random.default_rng(0).random((12, 10, 4)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Pair(stored, np.diag([0.5, 0.5, 4, 1])), tmp_path / "a.img")
    before = fingerprint(case(tmp_path / "a.hdr"))
    with (tmp_path / "a.img").open("r+b") as file:
        file.seek(100)
        file.write(b"x")
    assert fingerprint(case(tmp_path / "a.hdr")) != before


def test_a_folder_of_dicom_slices_is_a_subject(tmp_path):
    listed = case(write_series(tmp_path / "series"))
    assert np.array_equal(read_case(listed).image, read_case(as_subject(listed)).image)


def test_a_reader_of_the_user_is_used_and_its_voxels_are_the_fingerprint(tmp_path):
    stored = np.random.default_rng(0).random((1, 12, 10, 4)).astype(np.float32)
    np.save(tmp_path / "a.npy", stored)
    made = tio.ScalarImage(tmp_path / "a.npy", reader=read_npy)
    brought = Case("one", "p", "x", SubjectSource(tio.Subject(a=made), ("a",)))
    scan, found = read_with_fingerprint(brought)
    assert np.array_equal(scan.image[0, :, ::-1, ::-1], stored[0].T)  # an identity is RAS
    assert found == fingerprint(brought)
    np.save(tmp_path / "a.npy", stored + 1)
    assert fingerprint(brought) != found


def read_npy(path):
    return np.load(path), np.diag([1.0, 1.0, 5.0, 1.0])


def test_a_transform_is_part_of_the_fingerprint(tmp_path):
    brought = as_subject(case(write(tmp_path / "a.nii.gz")))
    plain, doubled, again, shifted = (
        fingerprint(replace(brought, source=replace(brought.source, transform=transform)))
        for transform in (
            *(None, tio.Lambda(lambda image: 2 * image), tio.Lambda(lambda image: 2 * image)),
            tio.Lambda(lambda image: image + 1),
        )
    )
    assert doubled == again
    assert len({plain, doubled, shifted}) == 3


def test_the_place_of_voxels_in_memory_is_part_of_the_fingerprint():
    tensor = torch.arange(1.0, 721).reshape(1, 10, 12, 6)
    near, same, apart = (
        fingerprint(Case("one", "patient", "benign", SubjectSource(subject, ("image",))))
        for spacing in (3.0, 3.0, 5.0)
        for subject in [
            tio.Subject(
                image=tio.ScalarImage(tensor=tensor, affine=np.diag([0.5, 0.6, spacing, 1]))
            )
        ]
    )
    assert near == same
    assert near != apart


def test_a_broken_reader_names_its_case(tmp_path):
    (tmp_path / "a.npy").write_bytes(b"nothing")
    made = tio.ScalarImage(tmp_path / "a.npy", reader=read_npy)
    brought = Case("one", "p", "x", SubjectSource(tio.Subject(a=made), ("a",)))
    with pytest.raises(DataError, match="case one: cannot be read"):
        read_case(brought)


def test_an_affine_that_places_nothing_is_refused():
    made = tio.ScalarImage(tensor=np.random.rand(1, 4, 4, 4), affine=np.diag([1, 0, 1, 1]))
    brought = Case("one", "p", "x", SubjectSource(tio.Subject(a=made), ("a",)))
    with pytest.raises(DataError, match=r"case one, image a: its affine .* places no volume"):
        read_case(brought)


def test_the_channels_of_an_image_are_channels():
    made = tio.ScalarImage(tensor=np.random.rand(2, 4, 5, 3), affine=np.diag([1, 1, 4, 1]))
    brought = Case("one", "p", "x", SubjectSource(tio.Subject(a=made), ("a",)))
    assert read_case(brought).image.shape == (2, 3, 5, 4)


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_a_scan_survives_being_a_subject(tmp_path, plane):
    path = write(tmp_path / "a.nii.gz")
    mask = write(tmp_path / "m.nii.gz", image(box()))
    scan = read_case(case(path, mask=mask, plane=plane, representative=(1,)))
    made = to_subject(scan)
    source = SubjectSource(made, ("image",), "mask", plane=plane)
    again = read_case(Case("one", "p", "x", source, scan.representative))
    assert np.array_equal(scan.image, again.image)
    assert np.array_equal(scan.mask, again.mask)
    assert scan.spacing_mm == pytest.approx(again.spacing_mm)
    assert np.allclose(scan.affine, again.affine)
    assert scan.representative == again.representative


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_an_invented_place_has_the_spacing_and_the_plane(plane):
    affine = affine_of((5.0, 0.6, 0.5), plane)
    assert np.linalg.norm(affine[:3, :3], axis=0) == pytest.approx((5.0, 0.6, 0.5))
    across = ("sagittal", "coronal", "axial").index(plane)
    assert np.abs(affine[:3, 0]).argmax() == across


def test_files_are_closed_and_may_go_away_afterwards(tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()
    scan = read_case(as_subject(case(write(folder / "a.nrrd"))))
    shutil.rmtree(folder)
    assert scan.image.shape == (1, *SHAPE)
