"""What cannot be trusted is refused: one line, the file's name, the reason and the way out."""

import gzip
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from tests.helpers.volumes_on_disk import SHAPE, box, case, image, voxels, write, write_series
from volbench.data.formats.dicom import between_offsets
from volbench.data.reading import read_case
from volbench.errors import DataError
from volbench.interfaces import Case

Refusal = Callable[[Path], Case]
BYTES = int(np.prod(SHAPE)) * 4  # of the voxels, as float32
REFUSALS: dict[str, tuple[Refusal, str, str]] = {}


def refused(name: str, reason: str) -> Callable[[Refusal], Refusal]:
    """Add a row: the file a message must name, and how it must go on (a regular expression)."""

    def add(make: Refusal) -> Refusal:
        REFUSALS[make.__name__.replace("_", " ")] = (make, name, reason)
        return make

    return add


def edited(path: Path, edit: Callable[[bytearray], object]) -> Path:
    """Change the bytes of a file in place, or replace them by what ``edit`` returns."""
    content = bytearray(path.read_bytes())
    result = edit(content)
    path.write_bytes(result if isinstance(result, bytes | bytearray) else content)
    return path


def cut(path: Path, count: int = 100) -> Path:
    return edited(path, lambda content: content[:-count])


def put(path: Path, layout: str, offset: int, *values: float) -> Path:
    return edited(path, lambda content: struct.pack_into(layout, content, offset, *values))


def swapped(path: Path, old: bytes, new: bytes) -> Path:
    def edit(content: bytearray) -> bytearray:
        assert content.count(old) == 1
        return content.replace(old, new)

    return edited(path, edit)


def damaged(path: Path, offset: int) -> Path:
    return edited(path, lambda content: content.__setitem__(offset, content[offset] ^ 0xFF))


@refused("a.nii.gz", "no such file; check the path")
def missing_file(folder):
    return case(folder / "a.nii.gz")


@refused("a.jpeg", "no such file")
def missing_file_of_another_kind(folder):
    return case(folder / "a.jpeg")


@refused("m.nii", "no such file")
def missing_mask(folder):
    return case(write(folder / "a.nii"), mask=folder / "m.nii")


@refused("a.png", r"not a format volbench reads; give \.nii\.gz, \.nii, .* one DICOM series")
def another_format(folder):
    return case(edited(write(folder / "a.nii").rename(folder / "a.png"), bytes))


@refused("a.dcm", "one DICOM slice; name the folder")
def a_dicom_file_instead_of_its_folder(folder):
    return case(write_series(folder / "s").joinpath("slice0.dcm").rename(folder / "a.dcm"))


@refused("a.nii", "empty; copy or export it again")
def empty_file(folder):
    return case(edited(write(folder / "a.nii"), lambda content: b""))


@refused("a.nii", rf"truncated, {BYTES - 100} bytes of voxels where its header announces {BYTES};")
def truncated_nifti(folder):
    return case(cut(write(folder / "a.nii")))


@refused("a.nii", "not a NIfTI file")
def nifti_cut_within_its_header(folder):
    return case(edited(write(folder / "a.nii"), lambda content: content[:200]))


@refused("a.nii", "not a NIfTI file")
def garbage_named_nifti(folder):
    return case(edited(write(folder / "a.nii"), lambda content: b"garbage" * 1000))


@refused("a.nii.gz", "truncated, its gzip stream ends early; copy or export it again")
def truncated_gzipped_nifti(folder):
    return case(cut(write(folder / "a.nii.gz")))


@refused("a.nii.gz", "truncated, 1 bytes of voxels where")
def nifti_truncated_before_it_was_gzipped(folder):
    path = write(folder / "a.nii.gz")
    return case(edited(path, lambda content: gzip.compress(gzip.decompress(content)[:353])))


@refused("a.nii.gz", "corrupt, its gzip checksum is wrong; copy or export it again")
def wrong_gzip_checksum(folder):
    return case(damaged(write(folder / "a.nii.gz"), -6))


@refused("a.nii.gz", "corrupt, its gzip (stream breaks|checksum is wrong)")
def damaged_gzip_stream(folder):
    path = write(folder / "a.nii.gz")
    return case(damaged(path, path.stat().st_size // 2))


@refused("a.nii.gz", "not gzip-compressed, against its name; rename it to end in .nii")
def plain_nifti_with_a_gzip_name(folder):
    return case(write(folder / "b.nii").rename(folder / "a.nii.gz"))


@refused("a.nii", "gzip-compressed, against its name; rename it to end in .nii.gz")
def gzipped_nifti_with_a_plain_name(folder):
    return case(write(folder / "b.nii.gz").rename(folder / "a.nii"))


@refused("a.nii", "corrupt, its header gives the dimensions")
def nifti_with_a_negative_dimension(folder):
    return case(put(write(folder / "a.nii"), "<h", 42, -10))


@refused("a.nii", "corrupt, its header gives the voxel type 999")
def nifti_with_an_unknown_voxel_type(folder):
    return case(put(write(folder / "a.nii"), "<h", 70, 999))


@refused("a.nrrd", rf"truncated, {BYTES - 100} bytes of voxels where its header announces {BYTES};")
def truncated_nrrd(folder):
    return case(cut(write(folder / "a.nrrd")))


@refused("a.nrrd", "truncated, its gzip stream ends early")
def truncated_gzipped_nrrd(folder):
    return case(cut(write(folder / "a.nrrd", compressed=True)))


@refused("a.nrrd", "corrupt, its gzip checksum is wrong")
def gzipped_nrrd_with_a_wrong_checksum(folder):
    return case(damaged(write(folder / "a.nrrd", compressed=True), -6))


@refused("a.nrrd", "not an NRRD file")
def garbage_named_nrrd(folder):
    return case(edited(write(folder / "a.nrrd"), lambda content: b"garbage" * 1000))


@refused("a.raw", "no such file")
def detached_nrrd_without_its_voxels(folder):
    path = write(folder / "a.nhdr")
    (folder / "a.raw").unlink()
    return case(path)


@refused("a.raw", rf"truncated, {BYTES - 1} bytes")
def detached_nrrd_with_truncated_voxels(folder):
    path = write(folder / "a.nhdr")
    cut(folder / "a.raw", 1)
    return case(path)


@refused("a.mha", rf"truncated, {BYTES - 100} bytes of voxels where its header announces {BYTES};")
def truncated_meta_image(folder):
    return case(cut(write(folder / "a.mha")))


@refused("a.mha", "truncated, .* bytes of compressed voxels where its header announces")
def truncated_compressed_meta_image(folder):
    return case(cut(write(folder / "a.mha", compressed=True)))


@refused("a.mha", "corrupt, its zlib stream breaks")
def damaged_compressed_meta_image(folder):
    return case(damaged(write(folder / "a.mha", compressed=True), -3))


@refused("a.mha", "not a MetaImage file")
def garbage_named_meta_image(folder):
    return case(edited(write(folder / "a.mha"), lambda content: b"garbage\n" * 1000))


@refused("a.raw", "no such file")
def meta_header_without_its_voxels(folder):
    path = write(folder / "a.mhd")
    (folder / "a.raw").unlink()
    return case(path)


def spaced_by_tenths(folder: Path) -> Path:
    """A MetaImage whose header says 0.6; what is written says 0.59999999999999998."""
    return swapped(write(folder / "a.mha"), b"0.59999999999999998", b"0.6")


def with_one(value: float) -> sitk.Image:
    array = voxels()
    array[2, 3, 4] = value
    return image(array)


for suffix in ("nii", "nii.gz", "nrrd", "mha"):
    for value in (np.nan, np.inf):

        @refused(f"a.{suffix}", "NaN or infinite voxels; replace them before use")
        def not_numbers(folder, suffix=suffix, value=value):
            return case(write(folder / f"a.{suffix}", with_one(value)))

        REFUSALS[f"{value} voxels in {suffix}"] = REFUSALS.pop("not numbers")


@refused("a.nii", "NaN or infinite voxels")
def a_number_too_large_for_float32(folder):
    return case(write(folder / "a.nii", image(voxels(kind="<f8") * 1e300)))


@refused("m.nii", "NaN or infinite voxels")
def nan_in_a_mask(folder):
    return case(write(folder / "a.nii"), mask=write(folder / "m.nii", with_one(np.nan)))


@refused("a.nii", "spacing 0.5 x 0.6 x 0 mm; correct its header")
def zero_spacing_in_nifti(folder):
    return case(put(write(folder / "a.nii"), "<f", 88, 0))


@refused("a.nii", "spacing 0.5 x 0.6 x -3 mm")
def negative_spacing_in_nifti(folder):
    return case(put(write(folder / "a.nii"), "<f", 88, -3))


@refused("a.nii", "spacing 0.5 x 0.6 x nan mm")
def nan_spacing_in_nifti(folder):
    return case(put(write(folder / "a.nii"), "<f", 88, np.nan))


@refused(
    "a.nii",
    r"two spacings, 0.5 x 0.6 x 6 mm \(pixdim\) and 0.5 x 0.6 x 3 mm \(sform\); correct one, or",
)
def contradicting_spacings_in_nifti(folder):
    return case(put(write(folder / "a.nii"), "<f", 88, 6))


@refused("a.nrrd", "spacing 0.5 x 0.6 x 0 mm")
def zero_spacing_in_nrrd(folder):
    return case(swapped(write(folder / "a.nrrd"), b"(0,0,3)", b"(0,0,0)"))


@refused("a.nrrd", "spacing 0.5 x 0.6 x nan mm")
def nan_spacing_in_nrrd(folder):
    return case(swapped(write(folder / "a.nrrd"), b"(0,0,3)", b"(0,0,nan)"))


@refused("a.nrrd", "its header gives no spacing")
def nrrd_without_spacing(folder):
    path = write(folder / "a.nrrd")
    edited(path, lambda text: re.sub(rb"space[^\n]*\n", b"", text))
    return case(path)


@refused("a.mha", "spacing 0.5 x 0.6 x -3 mm")
def negative_spacing_in_meta_image(folder):
    return case(swapped(spaced_by_tenths(folder), b"0.5 0.6 3", b"0.5 0.6 -3"))


@refused("a.mha", "its header gives no spacing")
def meta_image_without_spacing(folder):
    return case(swapped(spaced_by_tenths(folder), b"ElementSpacing = 0.5 0.6 3\n", b""))


@refused("a.nii", "every voxel is 7; there is nothing to learn from it")
def constant_volume(folder):
    return case(write(folder / "a.nii", image(np.full(SHAPE, 7, np.float32))))


@refused("a.nii", "a 2D image; give one 3D volume per file")
def flat_image(folder):
    return case(write(folder / "a.nii", image()[:, :, 2]))


@refused("a.nrrd", "a 4D image; give one 3D volume per file and channel")
def image_with_a_time_axis(folder):
    return case(write(folder / "a.nrrd", sitk.JoinSeries([image(), image()])))


@refused("a.nii", r"3 numbers per voxel \(RGB or vectors\); give one file per channel")
def colour_image(folder):
    grey = sitk.Cast(image(), sitk.sitkUInt8)
    return case(write(folder / "a.nii", sitk.Compose([grey] * 3)))


@refused("a.nii", "complex numbers; export magnitude images")
def complex_image(folder):
    return case(write(folder / "a.nii", image(voxels().astype(np.complex64))))


@refused("m.nii", "an empty mask; leave its cell empty or draw the region")
def empty_mask(folder):
    return case(write(folder / "a.nii"), mask=write(folder / "m.nii", image(box() * 0)))


@refused("m.nii", "the mask has 10x12x5 voxels, the image a.nii has 10x12x6; resample it")
def mask_with_a_slice_less(folder):
    return case(write(folder / "a.nii"), mask=write(folder / "m.nii", image(box()[1:])))


@refused("m.nii", r"the mask is off the grid of a.nii by 1 voxels \(origin or direction\)")
def mask_beside_its_image(folder):
    beside = image(box(), origin=(-7.0, 11.0, 33.0))
    return case(write(folder / "a.nii"), mask=write(folder / "m.nii", beside))


@refused(
    "m.nii", r"off the grid of a.nii by 5 voxels \(spacing 0.5 x 0.6 x 6 against 0.5 x 0.6 x 3"
)
def mask_with_other_spacing(folder):
    other = image(box(), spacing=(0.5, 0.6, 6.0))
    return case(write(folder / "a.nii"), mask=write(folder / "m.nii", other))


@refused("b.nii", "the channel is off the grid of a.nii")
def channels_on_two_grids(folder):
    other = image(origin=(0.0, 0.0, 0.0))
    return case(write(folder / "a.nii"), write(folder / "b.nii", other))


@refused("a.nii", "representative slice 6 of 6 slices; slices count from 0 to 5")
def representative_slice_that_does_not_exist(folder):
    return case(write(folder / "a.nii"), representative=(2, 6))


def series(folder: Path, **changes: object) -> Case:
    """A series whose slice 2 has some tags changed, or is left out."""

    def change(number, made):
        if number != 2:
            return made
        for name, value in changes.items():
            setattr(made, name, value)
        return made if changes else None

    return case(write_series(folder / "series", change=change))


@refused("series", r"1 missing slice between slice1.dcm and slice3.dcm \(6 mm apart, the others 3")
def series_with_a_missing_slice(folder):
    return series(folder)


@refused("series", "a doubled slice, slice1.dcm and slice2.dcm lie in one place")
def series_with_a_doubled_slice(folder):
    return series(folder, ImagePositionPatient=[-7.0, 11.0, 33.0])


@refused("series", "varying slice spacing, 4.2 mm between slice1.dcm and slice2.dcm and 3 mm")
def series_with_an_uneven_slice(folder):
    return series(folder, ImagePositionPatient=[-7.0, 11.0, 37.2])


@refused("series", r"2 series in one folder \(slice0.dcm and slice2.dcm differ\)")
def two_series_in_one_folder(folder):
    return series(folder, SeriesInstanceUID="1.2.3.4")


@refused("series", "slices of different size, slice0.dcm 12x10 and slice2.dcm 10x12")
def slices_of_different_size(folder):
    return series(folder, Rows=SHAPE[2], Columns=SHAPE[1])


@refused("series", "slices of different pixel spacing")
def slices_of_different_pixel_spacing(folder):
    return series(folder, PixelSpacing=[0.7, 0.5])


@refused("series", "slices slice0.dcm and slice2.dcm are not parallel")
def a_localiser_among_the_slices(folder):
    return series(folder, ImageOrientationPatient=[0, 1, 0, 0, 0, -1])


@refused("series", "slices are shifted sideways .gantry tilt., slice2.dcm by 2 mm")
def a_slice_beside_the_stack(folder):
    return series(folder, ImagePositionPatient=[-5.0, 11.0, 36.0])


@refused("slice2.dcm", r"its position \(0020,0032\) is 'missing'")
def a_slice_without_position(folder):
    return series(folder, ImagePositionPatient=None)


@refused("slice2.dcm", "spacing 0 x 0 mm")
def a_slice_with_zero_pixel_spacing(folder):
    return series(folder, PixelSpacing=[0, 0])


@refused("slice2.dcm", "a multi-frame DICOM file; convert it to NIfTI")
def a_multi_frame_file(folder):
    pixels = voxels((2, *SHAPE[1:]), "<u2").tobytes()
    return series(folder, NumberOfFrames=2, PixelData=pixels)


@refused("slice2.dcm", "a colour image")
def a_colour_slice(folder):
    return series(
        folder,
        SamplesPerPixel=3,
        PhotometricInterpretation="RGB",
        PlanarConfiguration=0,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelData=bytes(360),
    )


@refused("slice2.dcm", "truncated, 140 bytes of pixel data where its size needs 240")
def a_truncated_slice(folder):
    made = case(write_series(folder / "series"))
    cut(folder / "series" / "slice2.dcm")
    return made


@refused("slice9.dcm", "not a DICOM image")
def a_text_file_among_the_slices(folder):
    made = case(write_series(folder / "series"))
    (folder / "series" / "slice9.dcm").write_text("read me")
    return made


@refused("series", "holds the folder deeper; name the folder of one DICOM series")
def a_folder_of_series(folder):
    made = case(write_series(folder / "series"))
    (folder / "series" / "deeper").mkdir()
    return made


@refused("nothing", "an empty folder")
def an_empty_folder(folder):
    (folder / "nothing").mkdir()
    return case(folder / "nothing")


@refused("slice0.dcm", "a single slice without a slice thickness")
def one_slice_without_thickness(folder):
    def change(number, made):
        del made.SliceThickness
        return made

    return case(write_series(folder / "series", count=1, change=change))


@pytest.mark.parametrize("title", REFUSALS)
def test_it_is_refused_in_one_line_that_names_the_file_and_the_reason(title, tmp_path, capfd):
    make, name, reason = REFUSALS[title]
    malformed = make(tmp_path)
    with pytest.raises(DataError) as raised:
        read_case(malformed)
    message = str(raised.value)
    assert re.search(rf"/{re.escape(name)}: .*{reason}", message), message
    assert "\n" not in message
    assert capfd.readouterr() == ("", "")


def test_there_are_more_than_sixty_ways_to_be_refused():
    assert len(REFUSALS) > 60


def test_slice_distance_is_the_mean_of_even_gaps():
    assert between_offsets([0, 3.3, 6.6, 9.9], "abcd") == pytest.approx(3.3)
    assert between_offsets([-10.0, -9.4, -8.8, -8.1], "abcd") == pytest.approx(1.9 / 3)


@pytest.mark.parametrize(
    ("offsets", "reason"),
    [
        ([0, 3, 9], "1 missing slice between b and c"),
        ([0, 3, 6, 18], "3 missing slices between c and d"),
        ([0, 0, 3, 3], "a doubled slice, a and b"),
        ([0, 3, 6, 7.5], "varying slice spacing, 1.5 mm between c and d"),
        ([0, 1, 3, 6], "varying slice spacing|missing slice"),
    ],
)
def test_uneven_slices_are_refused(offsets, reason):
    with pytest.raises(ValueError, match=reason):
        between_offsets(offsets, "abcdef")
