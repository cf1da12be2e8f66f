"""Headers that lie are refused at once; what is read is what the standard defines."""

import gzip
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from tests.faults.odd_files import Stored, enhanced
from tests.helpers.volumes_on_disk import SHAPE, case, image, voxels, write, write_series
from volbench.data.checking.check import check
from volbench.data.formats.itk_image import from_itk
from volbench.data.formats.reader import read_volume
from volbench.data.reading import read_case
from volbench.datasets.manifest import Manifest
from volbench.errors import DataError

SHORTS = voxels(kind="<i2")
RAW = SHORTS.tobytes()
META = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "DimSize": "10 12 6",
    "ElementSpacing": "0.5 0.5 3",
    "ElementType": "MET_SHORT",
}
NRRD = {
    "type": "short",
    "dimension": "3",
    "sizes": "10 12 6",
    "spacings": "0.5 0.5 3",
    "encoding": "raw",
    "endian": "little",
}


def meta(path: Path, payload: bytes = RAW, data: str = "LOCAL", **fields: str) -> Path:
    lines = [f"{name} = {value}" for name, value in {**META, **fields}.items()]
    path.write_bytes("\n".join([*lines, f"ElementDataFile = {data}", ""]).encode() + payload)
    return path


def nrrd(path: Path, payload: bytes = RAW, **fields: str) -> Path:
    named = {name.replace("_", " "): value for name, value in {**NRRD, **fields}.items()}
    lines = [f"{name}: {value}" for name, value in named.items()]
    path.write_bytes("\n".join(["NRRD0005", *lines, "", ""]).encode() + payload)
    return path


def nifti(path: Path, *changes: tuple[str, int, float]) -> Path:
    """A NIfTI-1 file whose header is changed at byte offsets."""
    write(path, image(SHORTS))
    content = bytearray(path.read_bytes())
    for layout, offset, value in changes:
        struct.pack_into(layout, content, offset, value)
    path.write_bytes(content)
    return path


LIES: dict[str, tuple[Callable[[Path], Path], str]] = {
    **{
        f"voxel offset {offset}": (
            lambda folder, offset=offset: nifti(folder / "a.nii", ("<f", 108, offset)),
            f"voxel offset {offset}, at least 352 belongs there",
        )
        for offset in (0, 1, 100, 351)
    },
    "a voxel offset that is no whole number": (
        lambda folder: nifti(folder / "a.nii", ("<f", 108, 352.5)),
        "voxel offset 352.5",
    ),
    "an intercept that is no number": (
        lambda folder: nifti(folder / "a.nii", ("<f", 112, 2), ("<f", 116, np.nan)),
        r"scaling \(slope, intercept\) is not finite \(2 nan\)",
    ),
    "an infinite slope": (
        lambda folder: nifti(folder / "a.nii", ("<f", 112, np.inf)),
        "scaling .* is not finite",
    ),
    "a quaternion that is no number": (
        lambda folder: nifti(folder / "a.nii", ("<h", 252, 1), ("<h", 254, 0), ("<f", 256, np.nan)),
        "qform is not finite",
    ),
    "a quaternion that is too long": (
        lambda folder: nifti(folder / "a.nii", ("<h", 252, 1), ("<h", 254, 0), ("<f", 256, 3)),
        "quaternion .* is longer than 1",
    ),
    "an infinite position": (
        lambda folder: nifti(folder / "a.nii", ("<h", 254, 1), ("<f", 292, np.inf)),
        "sform is not finite",
    ),
    "dimensions far beyond the file": (
        lambda folder: nifti(
            folder / "a.nii", *(("<h", 42 + 2 * axis, 32767) for axis in range(3))
        ),
        "header announces",
    ),
    "more dimensions than there are sizes (MetaImage)": (
        lambda folder: meta(folder / "a.mha", NDims="4"),
        r"4 dimensions \(NDims\) and 3 sizes",
    ),
    "a negative number of dimensions": (
        lambda folder: meta(folder / "a.mha", NDims="-1"),
        r"-1 dimensions \(NDims\) and 3 sizes",
    ),
    "compressed voxels without their size": (
        lambda folder: meta(folder / "a.mha", zlib.compress(RAW), CompressedData="True"),
        "gives no CompressedDataSize",
    ),
    "compressed voxels with a size that is too small": (
        lambda folder: meta(
            folder / "a.mha",
            zlib.compress(RAW),
            CompressedData="True",
            CompressedDataSize=str(len(zlib.compress(RAW)) // 2),
        ),
        "truncated, its zlib stream ends early",
    ),
    "compressed voxels with a size that is too large": (
        lambda folder: meta(
            folder / "a.mha", zlib.compress(RAW), CompressedData="True", CompressedDataSize="99999"
        ),
        "truncated, .* where its header announces 99999",
    ),
    "compressed voxels that are more than announced": (
        lambda folder: meta(
            folder / "a.mha",
            zlib.compress(RAW + b"\0"),
            CompressedData="True",
            CompressedDataSize=str(len(zlib.compress(RAW + b"\0"))),
        ),
        "holds more than the 1440 bytes",
    ),
    "a pattern of endless files (MetaImage)": (
        lambda folder: meta(folder / "a.mhd", data="s%d.raw 1 1000000000000 1"),
        "has 6 slices",
    ),
    "a pattern of endless width": (
        lambda folder: meta(folder / "a.mhd", data="s%999999999d.raw 1 6 1"),
        "cannot read its data file",
    ),
    "a pattern that goes nowhere": (
        lambda folder: meta(folder / "a.mhd", data="s%d.raw 1 6 0"),
        "cannot read its data file",
    ),
    "a header twice as sure": (
        lambda folder: meta(folder / "a.mha", b"", data="LOCAL\nDimSize = 1 1 1\nDimSize = 1 1 1"),
        "truncated",
    ),
    "a spacing that is no number": (
        lambda folder: meta(folder / "a.mha", ElementSpacing="0.5 nan 3"),
        "spacing 0.5 x nan x 3 mm",
    ),
    "an offset that is no number": (
        lambda folder: meta(folder / "a.mha", Offset="0 nan 3"),
        "offset is not finite",
    ),
    "a sheared volume": (
        lambda folder: meta(folder / "a.mha", TransformMatrix="1 0 0 0.2 1 0 0 0 1"),
        "not at right angles .*; resample it",
    ),
    "values that are to be rescaled": (
        lambda folder: meta(folder / "a.mha", ElementToIntensityFunctionSlope="2"),
        "ElementToIntensityFunctionSlope is 2; export it",
    ),
    "a pattern of endless files (NRRD)": (
        lambda folder: nrrd(folder / "a.nhdr", b"", data_file="s%d.raw 0 1000000000000 1"),
        "has 6 slices",
    ),
    "lines to skip that are not there": (
        lambda folder: nrrd(folder / "a.nrrd", line_skip="999999999"),
        "skips 999999999 lines, more than there are",
    ),
    "bytes to skip that are not there": (
        lambda folder: nrrd(folder / "a.nrrd", byte_skip="999999999"),
        "skips 999999999 bytes",
    ),
    "more dimensions than there are sizes (NRRD)": (
        lambda folder: nrrd(folder / "a.nrrd", dimension="4"),
        "4 dimensions and 3 sizes",
    ),
    "a size beyond any file": (
        lambda folder: nrrd(folder / "a.nrrd", sizes="10 12 99999999999999"),
        "gives the sizes",
    ),
    "bytes in an order that nobody knows": (
        lambda folder: nrrd(folder / "a.nrrd", endian="middle"),
        "in which order bytes are",
    ),
    "more behind gzip than the header says": (
        lambda folder: nrrd(folder / "a.nrrd", gzip.compress(RAW + bytes(2**21)), encoding="gzip"),
        "holds more than the",
    ),
    "gigabytes out of next to nothing": (
        lambda folder: nrrd(
            folder / "a.nrrd", gzip.compress(RAW), encoding="gzip", sizes="1500 1024 1024"
        ),
        r"announces 314\d{7} bytes of voxels in \d{1,4} compressed ones",
    ),
}


@pytest.mark.parametrize("title", LIES)
@pytest.mark.timeout(5)
def test_a_header_that_lies_is_refused_in_one_line(title, tmp_path):
    make, reason = LIES[title]
    path = make(tmp_path)
    with pytest.raises(DataError, match=reason) as caught:
        read_case(case(path))
    assert path.name in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.timeout(5)
def test_a_compressed_bomb_is_refused_before_it_fills_memory(tmp_path):
    stream = zlib.compressobj(9, wbits=31)
    start = gzip.decompress(gzip.compress(nifti(tmp_path / "a.nii").read_bytes()))
    bomb = stream.compress(start) + stream.compress(bytes(2**27)) + stream.flush()
    path = tmp_path / "b.nii.gz"
    path.write_bytes(bomb)
    with pytest.raises(DataError, match="holds more than the"):
        read_case(case(path))


@pytest.mark.timeout(5)
def test_what_is_no_regular_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.nii")
    (tmp_path / "zero.nii").symlink_to("/dev/zero")
    (tmp_path / "circle.nii").symlink_to("circle.nii")
    for name, reason in (("pipe", "not a regular"), ("zero", "not a regular"), ("circle", "read")):
        with pytest.raises(DataError, match=reason):
            read_case(case(tmp_path / f"{name}.nii"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "not an image: a web page"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
            "a Git LFS pointer; fetch the image with `git lfs pull`",
        ),
        (b"/annex/objects/SHA256E-s9--0.nii.gz\n", "a git-annex pointer"),
    ],
)
@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.nrrd", "a.mha"])
def test_what_was_saved_in_place_of_an_image_is_named(name, content, reason, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=reason):
        read_case(case(tmp_path / name))


def test_a_slope_of_zero_means_no_scaling_whatever_the_intercept(tmp_path):
    for intercept in (55, np.nan):
        path = nifti(tmp_path / "a.nii", ("<f", 112, 0), ("<f", 116, intercept))
        np.testing.assert_array_equal(read_volume(path).voxels.T, SHORTS)


def test_axes_written_with_three_digits_are_brought_to_right_angles(tmp_path):
    rotation = np.round(sitk_rotation(0.31, 0.12), 3)
    affine = np.eye(4)
    affine[:3, :3] = rotation * np.array([0.7, 0.7, 5])
    made = nibabel.Nifti1Image(SHORTS.T, None)
    made.header.set_zooms((0.7, 0.7, 5))
    made.header.set_sform(affine, 1)
    nibabel.save(made, tmp_path / "a.nii")
    axes = read_volume(tmp_path / "a.nii").affine[:3, :3]
    axes = axes / np.linalg.norm(axes, axis=0)
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(axes, rotation, atol=2e-3)


def sitk_rotation(first: float, second: float) -> np.ndarray:
    turn = sitk.Euler3DTransform((0, 0, 0), first, second, 0.2)
    return np.array(turn.GetMatrix()).reshape(3, 3)


def test_two_orientations_in_one_header_are_refused(tmp_path):
    made = nibabel.Nifti1Image(SHORTS.T, None)
    made.header.set_zooms((0.5, 0.5, 3))
    made.header.set_sform(np.diag([0.5, 0.5, 3, 1]), 1)
    made.header.set_qform(np.diag([-0.5, 0.5, 3, 1]), 1)
    nibabel.save(made, tmp_path / "a.nii")
    with pytest.raises(DataError, match=r"two orientations, RAS \(sform\) and LAS \(qform\)"):
        read_case(case(tmp_path / "a.nii"))


@pytest.mark.parametrize("suffix", ["nii", "nii.gz", "nrrd", "nhdr", "mha", "mhd", "hdr"])
@pytest.mark.parametrize("compressed", [False, True])
def test_every_format_is_decoded_as_itk_decodes_it(suffix, compressed, tmp_path):
    for number, kind in enumerate(("u1", "i2", "u4", "f4", "f8")):
        direction = sitk_rotation(0.4, -0.7).ravel().tolist()
        made = image(voxels(kind=kind), direction=direction)
        path = write(tmp_path / f"{number}.{suffix}", made, compressed=compressed)
        ours, theirs = read_volume(path), from_itk(sitk.ReadImage(str(path)), path, "")
        np.testing.assert_array_equal(ours.voxels, theirs.voxels)
        assert ours.voxels.dtype == theirs.voxels.dtype
        np.testing.assert_allclose(ours.affine, theirs.affine, atol=2e-5)


def test_short_pixel_data_are_refused(tmp_path):
    def shorten(number, made):
        if number == 3:
            made.PixelData = made.PixelData[:-20]
        return made

    series = write_series(tmp_path / "s", change=shorten)
    with pytest.raises(DataError, match=r"slice3\.dcm: truncated, 220 bytes .* needs 240"):
        read_case(case(series))


def test_padding_is_not_taken_for_a_measurement(tmp_path):
    def pad(number, made):
        pixels = voxels(SHAPE[1:], "<i2") + 1000 * number
        pixels[:2] = -2000
        made.PixelRepresentation, made.PixelPaddingValue = 1, -2000
        made.RescaleSlope, made.RescaleIntercept = 2, -1024
        made.PixelData = pixels.astype("<i2").tobytes()
        return made

    read = read_case(case(write_series(tmp_path / "s", change=pad))).image[0]
    lowest = 2 * (voxels(SHAPE[1:])[2:].min()) - 1024
    assert read.min() == lowest
    assert (read[:, :2] == lowest).all()
    np.testing.assert_array_equal(read[3, 2:], 2 * (voxels(SHAPE[1:])[2:] + 3000) - 1024)


@pytest.mark.parametrize("limits", [(-2000, -1990), (-1990, -2000)])
def test_padding_may_be_a_range_of_values(limits, tmp_path):
    def pad(number, made):
        pixels = voxels(SHAPE[1:], "<i2") + 1000 * number
        pixels[0], pixels[1] = -2000, -1995
        made.PixelRepresentation = 1
        made.PixelPaddingValue, made.PixelPaddingRangeLimit = limits
        made.PixelData = pixels.astype("<i2").tobytes()
        return made

    read = read_case(case(write_series(tmp_path / "s", change=pad))).image[0]
    lowest = voxels(SHAPE[1:])[2:].min()
    assert (read[:, :2] == lowest).all()
    assert read.min() == lowest


def test_a_table_of_values_says_what_stored_pixels_mean(tmp_path):
    def look_up(number, made):
        table = Dataset()
        table.LUTDescriptor = [1000, 0, 16]  # so many entries, the first stands for 0
        table.LUTData = (np.arange(1000) * 7 + 5).tolist()
        for keyword in ("LUTDescriptor", "LUTData"):
            table[keyword].VR = "US"
        made.ModalityLUTSequence = Sequence([table])
        made.PixelData = (voxels(SHAPE[1:], "<u2") + 100 * number).astype("<u2").tobytes()
        return made

    read = read_case(case(write_series(tmp_path / "s", change=look_up))).image[0]
    np.testing.assert_array_equal(read[3], 7 * (voxels(SHAPE[1:]) + 300.0) + 5)


@pytest.mark.parametrize("syntax", ["RLE", "JPEG 2000", "JPEG-LS"])
def test_more_compressed_streams_than_frames_are_refused(syntax, tmp_path):
    path, *_ = enhanced(tmp_path, 1, syntax, Stored(12, signed=False), alone=True)
    made = pydicom.dcmread(path)
    made.NumberOfFrames = made.NumberOfFrames - 1
    made.PerFrameFunctionalGroupsSequence.pop()
    made.save_as(path)
    with pytest.raises(DataError, match=r"volume\.dcm: corrupt, .* for 4 frames"):
        read_case(case(path))


@pytest.mark.parametrize(
    ("keyword", "values", "named"),
    [
        ("EchoTime", (20, 90), r"echo time \(0018,0081\): 20.* and 90.*"),
        ("AcquisitionNumber", (1, 2), r"acquisition number \(0020,0012\): 1 and 2"),
        ("TemporalPositionIdentifier", (1, 2), r"temporal position \(0020,0100\): 1 and 2"),
    ],
)
def test_two_volumes_in_one_series_are_told_apart_by_their_tag(keyword, values, named, tmp_path):
    def twice(number, made):
        setattr(made, keyword, values[number % 2])
        made.ImagePositionPatient = [-7.0, 11.0, 30.0 + 3 * (number // 2)]
        return made

    with pytest.raises(DataError, match=f"more than one volume, .* {named}; put each volume"):
        read_case(case(write_series(tmp_path / "s", change=twice)))


def test_what_lies_beside_a_series_is_left_out_and_named(tmp_path):
    series = write_series(tmp_path / "s")
    alone = read_volume(series)
    for name in ("Thumbs.db", "DICOMDIR", "notes.txt", ".DS_Store"):
        (series / name).write_bytes(b"not a slice")
    np.testing.assert_array_equal(read_volume(series).voxels, alone.voxels)
    assert read_volume(series).digest == alone.digest

    manifest = tmp_path / "m.csv"
    write_series(tmp_path / "t")
    manifest.write_text("image,label,patient\ns,a,p\nt,b,q\n")
    notes = check(Manifest(path=str(manifest))).notes
    assert any("DICOMDIR, Thumbs.db, notes.txt" in note for note in notes), notes
