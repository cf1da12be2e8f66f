"""Rare but valid ways to store a volume: read as written, refused when cut."""

import bz2
import gzip
import re
import zlib
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from tests.helpers.volumes_on_disk import SHAPE, case, voxels
from volbench.data.formats.integrity import files_of, stored
from volbench.data.formats.itk_image import from_itk
from volbench.data.formats.reader import read_volume
from volbench.data.reading import fingerprint, read_case
from volbench.errors import DataError

ARRAY = voxels(kind="<i2")
RAW = ARRAY.tobytes()
AFFINE = np.diag([-0.5, -0.5, 3.0, 1.0])  # RAS+, which is LPS with both in-plane axes kept


def nifti(path: Path, order: str, maker: type = nibabel.Nifti1Image) -> Path:
    header = maker.header_class(endianness=order)
    header.set_data_dtype(np.int16)
    nibabel.save(maker(ARRAY.T, AFFINE, header), path)
    return path


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_nifti_reads_as_written_in_both_byte_orders(order, tmp_path):
    path = nifti(tmp_path / "a.nii", order)
    scan = read_case(case(path))
    np.testing.assert_array_equal(scan.image[0], ARRAY)
    assert scan.spacing_mm == pytest.approx((3.0, 0.5, 0.5))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=f"truncated, {len(RAW) - 1} bytes"):
        read_case(case(path))


@pytest.mark.parametrize("order", ["<", ">"])
def test_nifti_2_is_read_like_nifti_1(order, tmp_path):
    second = read_case(case(nifti(tmp_path / "a.nii.gz", order, nibabel.Nifti2Image)))
    first = read_case(case(nifti(tmp_path / "b.nii.gz", order)))
    np.testing.assert_array_equal(second.image, first.image)
    np.testing.assert_allclose(second.affine, first.affine)


@pytest.mark.parametrize("named", [".hdr", ".img"])
def test_both_halves_of_a_pair_stand_for_the_whole_image(named, tmp_path):
    nibabel.save(nibabel.Nifti1Pair(ARRAY.T, AFFINE), tmp_path / "a.img")
    single = read_case(case(nifti(tmp_path / "b.nii.gz", "<")))
    pair = read_case(case(tmp_path / f"a{named}"))
    np.testing.assert_array_equal(pair.image, single.image)
    np.testing.assert_allclose(pair.affine, single.affine)
    voxels = tmp_path / "a.img"
    voxels.write_bytes(voxels.read_bytes()[:-1])
    with pytest.raises(DataError, match=f"truncated, {len(RAW) - 1} bytes"):
        read_case(case(tmp_path / f"a{named}"))


def test_a_nifti_with_slope_and_intercept_is_rescaled(tmp_path):
    made = nibabel.Nifti1Image(ARRAY.T, AFFINE)
    made.header.set_slope_inter(2, -1000)
    path = tmp_path / "a.nii.gz"
    nibabel.save(made, path)
    stored_values = np.frombuffer(gzip.decompress(path.read_bytes())[352:], "<i2").reshape(SHAPE)
    np.testing.assert_array_equal(read_case(case(path)).image[0], stored_values * 2.0 - 1000)


NRRD = (
    "NRRD0004\ntype: {type}\ndimension: 3\nspace: left-posterior-superior\nsizes: 10 12 6\n"
    "space directions: (0.5,0,0) (0,0.5,0) (0,0,3)\nspace origin: (0,0,0)\nendian: little\n"
    "encoding: {encoding}\n{more}"
)
TEXT = "\n".join(map(str, [*ARRAY.ravel(), ""])).encode()


def attached(encoding: str, payload: bytes, more: str = "") -> dict[str, bytes]:
    head = NRRD.format(type="int16", encoding=encoding, more=more + "\n").encode()
    return {"a.nrrd": head + payload}


def detached(encoding: str, more: str, **parts: bytes) -> dict[str, bytes]:
    head = NRRD.format(type="signed short", encoding=encoding, more=more).encode()
    return {"a.nhdr": head, **{f"{name}.raw": part for name, part in parts.items()}}


PLANES = {f"v{number}": ARRAY[number - 1].tobytes() for number in range(1, 7)}
PARTS = [f"{name}.raw" for name in PLANES]
NRRDS = {
    "text": attached("text", TEXT),
    "gz": attached("gz", gzip.compress(RAW)),
    "bytes skipped": attached("raw", b"skipped" + RAW, "byte skip: 7\n"),
    "bytes counted from the end": attached("raw", b"any" + RAW, "byte skip: -1\n"),
    "lines skipped": attached("raw", b"one\ntwo\n" + RAW, "line skip: 2\n"),
    "old spelling of detached": detached("raw", "datafile: v.raw\n", v=RAW),
    "list of files": detached("raw", "data file: LIST\n" + "\n".join([*PARTS, ""]), **PLANES),
    "numbered files": detached("raw", "data file: v%d.raw 1 6 1\n", **PLANES),
}


META = (
    "ObjectType = Image\nNDims = 3\nBinaryDataByteOrderMSB = False\nElementSpacing = 0.5 0.5 3\n"
    "DimSize = 10 12 6\nElementType = MET_SHORT\n{more}ElementDataFile = "
)


def meta(data: str, more: str = "BinaryData = True\n", **parts: bytes) -> dict[str, bytes]:
    head = (META.format(more=more) + data + "\n").encode()
    local = parts.pop("local", b"")
    name = "a.mha" if local else "a.mhd"
    return {name: head + local, **{f"{part}.raw": content for part, content in parts.items()}}


METAS = {
    "text in a MetaImage": meta("LOCAL", "BinaryData = False\n", local=TEXT),
    "compressed without a size": meta(
        "v.raw", "BinaryData = True\nCompressedData = True\n", v=zlib.compress(RAW)
    ),
    "header before the voxels": meta("v.raw", "HeaderSize = 5\n", v=b"12345" + RAW),
    "bytes counted from the end of a file": meta("v.raw", "HeaderSize = -1\n", v=b"any" + RAW),
    "a list of planes": meta("LIST\n" + "\n".join(PARTS), **PLANES),
    "numbered planes": meta("v%d.raw 1 6 1", **PLANES),
}
VARIANTS = {**NRRDS, **METAS}


def laid_out(folder: Path, files: dict[str, bytes]) -> list[Path]:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in files]


@pytest.mark.parametrize("title", VARIANTS)
def test_a_variant_reads_as_written(title, tmp_path):
    path = laid_out(tmp_path, VARIANTS[title])[0]
    scan = read_case(case(path))
    np.testing.assert_array_equal(scan.image[0], ARRAY)
    assert scan.spacing_mm == pytest.approx((3.0, 0.5, 0.5))


@pytest.mark.parametrize("title", VARIANTS)
def test_a_variant_that_is_cut_is_refused_with_the_name_of_the_cut_file(title, tmp_path):
    paths = laid_out(tmp_path, VARIANTS[title])
    paths[-1].write_bytes(paths[-1].read_bytes()[:-9])
    with pytest.raises(DataError, match=f"/{paths[-1].name}: truncated"):
        read_case(case(paths[0]))


@pytest.mark.parametrize("title", VARIANTS)
def test_every_file_of_a_variant_counts_in_the_fingerprint(title, tmp_path):
    paths = laid_out(tmp_path, VARIANTS[title])
    before = fingerprint(case(paths[0]))
    content = bytearray(paths[-1].read_bytes())
    content[-5] ^= 1
    paths[-1].write_bytes(content)
    assert fingerprint(case(paths[0])) != before


@pytest.mark.parametrize("title", VARIANTS)
def test_every_file_of_a_variant_is_known_without_reading_its_voxels(title, tmp_path):
    paths = laid_out(tmp_path, VARIANTS[title])
    assert files_of(paths[0]) == paths
    paths[-1].unlink()
    with pytest.raises(DataError, match=f"/{paths[-1].name}: "):
        files_of(paths[0])


TURNED = Rotation.from_euler("xyz", (10, -20, 30), degrees=True).as_matrix()
OFFSET = (7.0, -11.0, 13.0)


def oblique_nrrd(**fields: str) -> dict[str, bytes]:
    axes = [f"({','.join(map(str, axis))})" for axis in (TURNED * (0.5, 0.6, 3.0)).T]
    head = {
        **{"type": "int16", "dimension": "3", "sizes": "10 12 6", "encoding": "raw"},
        **{"space": "left-posterior-superior", "space directions": " ".join(axes)},
        **{"space origin": f"({','.join(map(str, OFFSET))})", "endian": "little"},
        **fields,
    }
    lines = ["NRRD0004", *(f"{name}: {value}" for name, value in head.items()), "", ""]
    order = ">" if head["endian"] == "big" else "<"
    return {"a.nrrd": "\n".join(lines).encode() + ARRAY.astype(f"{order}i2").tobytes()}


def oblique_meta(kind: str = "<i2", **fields: str) -> dict[str, bytes]:
    head = {
        **{"ObjectType": "Image", "NDims": "3", "BinaryData": "True", "DimSize": "10 12 6"},
        **{"TransformMatrix": " ".join(map(str, TURNED.T.ravel()))},
        **{"Offset": " ".join(map(str, OFFSET)), "ElementSpacing": "0.5 0.6 3"},
        **{"ElementType": "MET_SHORT", **fields, "ElementDataFile": "LOCAL"},
    }
    lines = [*(f"{name} = {value}" for name, value in head.items()), ""]
    return {"a.mha": "\n".join(lines).encode() + ARRAY.astype(kind).tobytes()}


AS_ITK = {
    **{
        f"an NRRD in {space}": oblique_nrrd(space=space)
        for space in (
            *("left-posterior-superior", "LPS", "right-anterior-superior", "RAS"),
            *("left-anterior-superior", "LAS"),
        )
    },
    "a big-endian NRRD": oblique_nrrd(endian="big"),
    "a MetaImage": oblique_meta(),
    "a big-endian MetaImage": oblique_meta(">i2", BinaryDataByteOrderMSB="True"),
    "a big-endian MetaImage by its elements": oblique_meta(">i2", ElementByteOrderMSB="True"),
    "a MetaImage of longs": oblique_meta("<i4", ElementType="MET_LONG"),
    "a MetaImage of unsigned longs": oblique_meta("<u4", ElementType="MET_ULONG"),
    "a MetaImage of longer longs": oblique_meta("<i8", ElementType="MET_LONG_LONG"),
    "a MetaImage of doubles": oblique_meta("<f8", ElementType="MET_DOUBLE"),
}


@pytest.mark.parametrize("title", AS_ITK)
def test_voxels_and_their_places_are_those_that_itk_reads(title, tmp_path):
    path = laid_out(tmp_path, AS_ITK[title])[0]
    ours = read_volume(path)
    theirs = from_itk(sitk.ReadImage(str(path)), path, "")
    np.testing.assert_array_equal(ours.voxels, theirs.voxels)
    np.testing.assert_array_equal(ours.voxels, ARRAY.T)
    np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-6)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (oblique_nrrd(**{"space units": '"m" "m" "m"'}), "its space units are m; save it in mm"),
        (oblique_nrrd(**{"Type": "uint16"}), "its header gives 'type' twice"),
        (
            oblique_nrrd(
                **{"dimension": "4", "sizes": "3 10 12 2"},
                **{"space directions": "none (0.5,0,0) (0,0.6,0) (0,0,3)"},
            ),
            "3 numbers per voxel (RGB or vectors); give one file per channel",
        ),
        (oblique_meta(HeaderSize="-7"), "its header gives the HeaderSize -7"),
    ],
)
def test_what_a_header_says_of_units_fields_and_colours_is_believed(files, reason, tmp_path):
    path = laid_out(tmp_path, files)[0]
    with pytest.raises(DataError, match=re.escape(reason)):
        read_volume(path)


def test_rare_encodings_are_read_and_checked_for_length(tmp_path):
    for encoding, payload in (("bzip2", bz2.compress(RAW)), ("hex", RAW.hex().encode())):
        whole = laid_out(tmp_path, attached(encoding, payload))[0]
        np.testing.assert_array_equal(read_case(case(whole)).image[0], ARRAY)
        cut = laid_out(tmp_path, attached(encoding, payload[:-9]))[0]
        with pytest.raises(DataError, match=r"a\.nrrd: (truncated|its bzip2 stream is not whole)"):
            stored(cut).verify()
    with pytest.raises(DataError, match="unknown encoding 'zstd'; save it as raw or gzip"):
        stored(laid_out(tmp_path, attached("zstd", RAW))[0]).verify()
