"""Files that are no files, or bombs: one line, the right exit code, soon, in little memory."""

import gzip
import os
import socket
import zlib

import nibabel
import numpy as np
import pytest
import SimpleITK  # noqa: F401  (reading is measured, not importing)
import torchio  # noqa: F401
from pydicom.uid import DeflatedExplicitVRLittleEndian

from tests.faults.children import in_child
from tests.faults.test_malformed import MEGABYTES, SECONDS
from tests.helpers.volumes_on_disk import slice_dataset
from volbench import crossval, suite  # noqa: F401
from volbench.cli.main import main
from volbench.data.checking import check  # noqa: F401

DATA, SPEC, USAGE = 3, 4, 2
RUN = (
    "run",
    "--dry-run",
    "--data",
    "phantom(patients=20, size=16)",
    "--encoder",
    "r2d(width=2)",
    "--agg",
    "max",
    "--loss",
    "focal",
)
VOLUMES = ("a.nii", "a.nii.gz", "a.nrrd", "a.nhdr", "a.mha", "a.mgz", "a.hdr", "a.vtk", "a.dcm")
OTHERS = {
    "m.csv": (("data", "check", "m.csv"), (DATA,)),
    "r.toml": ((*RUN, "--recipe", "r.toml"), (SPEC,)),
    "split.csv": ((*RUN, "--folds", "split.csv"), (DATA,)),
    "s.toml": (("suite", "run", "s.toml", "--dry-run"), (SPEC, USAGE)),
    "a.npz": (("data", "check", "a.npz"), (DATA, SPEC, USAGE)),
}


def pipe(path):
    os.mkfifo(path)


def endless(path):
    path.symlink_to("/dev/zero")


def circle(path):
    path.symlink_to(path.with_name("other"))
    path.with_name("other").symlink_to(path)


def sock(path):
    made = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(path.parent)  # an address is short
    made.bind(path.name)
    os.chdir(here)
    made.close()


def folder(path):
    path.mkdir()


KINDS = {one.__name__: one for one in (pipe, endless, circle, sock, folder)}


def manifest_of(place, name):
    rows = "".join(f"{name if not n else f'x{n}.nii'},{'ab'[n % 2]},p{n}\n" for n in range(2))
    path = place / "of.csv"
    path.write_text("image,label,patient\n" + rows)
    nibabel.save(
        nibabel.Nifti1Image(np.arange(60, dtype="i2").reshape(5, 4, 3), np.eye(4)), place / "x1.nii"
    )
    return ("data", "check", path.name, "--jobs", "1")


def judge(arguments, codes, place, tmp_path):
    def work():
        os.chdir(place)
        main(list(arguments))

    ending = in_child(work, tmp_path / "said", limit_s=30)
    said = ending.output + ending.errors
    assert ending.code in codes, (arguments, ending)
    assert "Traceback" not in said, said
    assert ending.errors.strip().splitlines()[-1].startswith("volbench: "), said
    assert ending.seconds < SECONDS, ending.seconds
    assert ending.peak_mb < MEGABYTES, ending.peak_mb
    return said


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_is_refused_as_a_volume(kind, tmp_path):
    for name in VOLUMES:
        place = tmp_path / name.replace(".", "_")
        place.mkdir()
        KINDS[kind](place / name)
        said = judge(manifest_of(place, name), (DATA,), place, tmp_path)
        assert name in said


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_is_refused_as_any_other_input(kind, tmp_path):
    for name, (arguments, codes) in OTHERS.items():
        place = tmp_path / name.replace(".", "_")
        place.mkdir()
        KINDS[kind](place / name)
        judge(arguments, codes, place, tmp_path)


def zeros(path, size, head=b""):
    """A gzip file of so many zeros behind a head."""
    block = zlib.compressobj(1, zlib.DEFLATED, 31)
    with path.open("wb") as file:
        file.write(block.compress(head))
        for _ in range(size >> 20):
            file.write(block.compress(bytes(1 << 20)))
        file.write(block.flush())


def nifti_head(shape):
    made = nibabel.Nifti1Header()
    made.set_data_shape(shape)
    made.set_data_dtype("i2")
    made["vox_offset"], made["sform_code"], made["magic"] = 352, 1, b"n+1"
    made.set_sform(np.eye(4), 1)
    return made.binaryblock + bytes(4)


@pytest.fixture(scope="module")
def bombs(tmp_path_factory):
    place = tmp_path_factory.mktemp("bombs")
    size = 3 << 30 if os.environ.get("VOLBENCH_BOMBS") else 300 << 20
    plain = place / "plain.gz"
    zeros(plain, size)
    packed = plain.read_bytes()
    small, large = (gzip.compress(nifti_head(shape)) for shape in ((5, 4, 3), (1500, 1024, 1024)))
    (place / "small.nii.gz").write_bytes(small + packed)
    (place / "large.nii.gz").write_bytes(large + packed)
    (place / "headless.nii.gz").write_bytes(packed)
    header = nibabel.freesurfer.mghformat.MGHHeader()
    header.set_data_shape((1500, 1024, 1024))
    (place / "bomb.mgz").write_bytes(gzip.compress(header.binaryblock) + packed)
    made = slice_dataset(0)
    made.Rows = made.Columns = 65535
    made.NumberOfFrames = 4
    made.save_as(place / "frames.dcm", enforce_file_format=True)
    made = slice_dataset(0)
    made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    made.PixelData = bytes(min(size, 300 << 20))
    made.save_as(place / "deflated.dcm", enforce_file_format=True)
    nrrd = b"NRRD0004\ntype: short\ndimension: 3\nspace: LPS\nsizes: %s\nspace directions: (1,0,0) "
    nrrd += b"(0,1,0) (0,0,1)\nendian: little\nencoding: gzip\n\n"
    (place / "bomb.nrrd").write_bytes(nrrd % b"5 4 3" + packed)
    (place / "announced.nrrd").write_bytes(nrrd % b"1500 1024 1024" + packed)
    return place


@pytest.mark.parametrize(
    "name",
    [
        *("small.nii.gz", "large.nii.gz", "headless.nii.gz", "bomb.mgz", "frames.dcm"),
        *("deflated.dcm", "bomb.nrrd", "announced.nrrd"),
    ],
)
def test_a_bomb_is_refused(name, bombs, tmp_path):
    judge(manifest_of(bombs, name), (DATA,), bombs, tmp_path)


@pytest.mark.parametrize(
    "shape", [(4, 28, 28), (4, 28, 28, 3), (4, 28, 28, 28, 3), (0, 8, 8, 8), (4,)]
)
def test_arrays_that_cannot_be_volumes_are_refused(shape, tmp_path):
    parts = {
        f"{split}_{part}": np.zeros(shape if part == "images" else (shape[0], 1), np.uint8)
        for split in ("train", "val", "test")
        for part in ("images", "labels")
    }
    np.savez_compressed(tmp_path / "a.npz", **parts)
    judge(("data", "check", "a.npz"), (DATA, USAGE), tmp_path, tmp_path)
