"""Content decides whether a file is the one that was prepared: not its name, size or time."""

import os
import shutil
import zipfile

import numpy as np
import pytest

from tests.helpers.volumes_on_disk import image, write
from volbench._utils.digested_files import MAGIC, read_sealed, write_sealed
from volbench._utils.file_state import FileState
from volbench.data import reading
from volbench.data.cache.fingerprints import fingerprints_of
from volbench.data.preparation.prepare_data import prepare
from volbench.data.preprocessing.options import Preprocessing
from volbench.datasets.medmnist import MedMNIST
from volbench.errors import StateError
from volbench.interfaces import Case, Files

OPTIONS = Preprocessing(size=8)


def volume(path, seed, suffix=".nii"):
    voxels = np.random.default_rng(seed).integers(0, 1000, (3, 12, 12)).astype(np.int16)
    return write(path.with_suffix(suffix), image(voxels, spacing=(0.5, 0.5, 4.0)))


@pytest.fixture
def manifest(tmp_path):
    for number in range(4):
        volume(tmp_path / f"{number}.nii", number)
    rows = "".join(f"{n}.nii,{'ab'[n % 2]},p{n}\n" for n in range(4))
    path = tmp_path / "manifest.csv"
    path.write_text("image,label,patient\n" + rows)
    return path


def copied_with_its_time(other, path):
    shutil.copy2(other, path)


def written_in_place(other, path):
    path.write_bytes(other.read_bytes())


def renamed_into_place(other, path):
    shutil.copy2(other, path.with_suffix(".tmp"))
    os.replace(path.with_suffix(".tmp"), path)


def unzipped(other, path):
    archive = path.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w") as made:
        made.write(other, path.name)
    shutil.unpack_archive(archive, path.parent)


@pytest.mark.parametrize(
    "replace", [copied_with_its_time, written_in_place, renamed_into_place, unzipped]
)
def test_a_file_of_equal_size_and_time_gives_its_own_voxels(replace, manifest, tmp_path):
    path, other = tmp_path / "2.nii", volume(tmp_path / "other.nii", 99)
    os.utime(path, ns=(1_600_000_000_000_000_000,) * 2)
    before, first = path.stat(), prepare(str(manifest), OPTIONS, root=tmp_path / "cache")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    replace(other, path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    changed = prepare(str(manifest), OPTIONS, root=tmp_path / "cache")
    assert changed.digest != first.digest
    same = [np.array_equal(changed.volume(i), first.volume(i)) for i in range(4)]
    assert same == [True, True, False, True]
    whole = prepare(str(manifest), OPTIONS, root=tmp_path / "fresh")
    assert np.array_equal(changed.voxels, whole.voxels)


def test_files_swapped_with_one_another_are_noticed(manifest, tmp_path):
    first = prepare(str(manifest), OPTIONS, root=tmp_path / "cache")
    for old, new in (("0", "x"), ("1", "0"), ("x", "1")):
        os.replace(tmp_path / f"{old}.nii", tmp_path / f"{new}.nii")
    swapped = prepare(str(manifest), OPTIONS, root=tmp_path / "cache")
    assert np.array_equal(swapped.volume(0), first.volume(1))
    assert np.array_equal(swapped.volume(1), first.volume(0))


def test_voxels_behind_a_header_are_looked_at_without_reading_it(tmp_path, monkeypatch):
    path = volume(tmp_path / "a.nhdr", 0, ".nhdr")
    case = Case("a", "p", "x", Files((path,)))
    memory = tmp_path / "memory"
    first = fingerprints_of([case], memory, jobs=1)
    (part,) = (one for one in tmp_path.glob("a.raw*"))
    times = part.stat()
    monkeypatch.setattr("volbench.data.cache.fingerprints.files_of", None)  # nothing calls it
    assert fingerprints_of([case], memory, jobs=1) == first
    monkeypatch.undo()
    part.write_bytes(part.read_bytes()[::-1])
    os.utime(part, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert fingerprints_of([case], memory, jobs=1) != first


def test_a_memory_that_was_changed_or_is_of_an_older_version_is_not_believed(
    manifest, tmp_path, monkeypatch
):
    memory = tmp_path / "cache" / "fingerprints.json"
    first = prepare(str(manifest), OPTIONS, root=tmp_path / "cache")
    content = read_sealed(memory)
    hashed = []
    fingerprint = reading.fingerprint
    monkeypatch.setattr(reading, "fingerprint", lambda case: hashed.append(1) or fingerprint(case))
    forged = content.replace(b'"fingerprint": "', b'"fingerprint": "0', 1)
    for text in (MAGIC + b"0" * 64 + b"\n" + content, b'{"version": 1, "known": {}}', forged):
        memory.write_bytes(text)
        hashed.clear()
        assert prepare(str(manifest), OPTIONS, root=tmp_path / "cache").digest == first.digest
        assert len(hashed) == 4
        assert read_sealed(memory) == content


def test_a_medmnist_file_of_equal_size_and_time_is_another_file(tmp_path):
    path = tmp_path / "adrenalmnist3d.npz"

    def fill(seed):
        draw = np.random.default_rng(seed)
        arrays = {}
        for split in ("train", "val", "test"):
            arrays[f"{split}_images"] = draw.integers(0, 255, (2, 4, 4, 4)).astype(np.uint8)
            arrays[f"{split}_labels"] = np.array([[0], [1]], np.uint8)
        np.savez(path, **arrays)
        os.utime(path, ns=(1, 1))

    fill(0)
    case = MedMNIST(path=str(path)).cases()[0]
    before = case.source.fingerprint(), case.source.render().image
    fill(1)
    assert case.source.fingerprint() != before[0]
    assert not np.array_equal(case.source.render().image, before[1])


def test_a_part_whose_header_or_mask_was_changed_is_not_used(tmp_path):
    path = tmp_path / "part.npz"
    write_sealed(path, b"voxels and mask")
    whole = path.read_bytes()
    assert read_sealed(path) == b"voxels and mask"
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(StateError):
            read_sealed(path)
    path.write_bytes(b"voxels and mask")  # a missing digest is as bad as a wrong one
    with pytest.raises(StateError):
        read_sealed(path)


def test_a_file_just_written_is_waited_for_and_a_coarse_clock_is_not_trusted(tmp_path):
    path = tmp_path / "a"
    path.write_text("x")
    assert FileState.of(path).settle()
    second = 1_000_000_000
    coarse = FileState(1, path.stat().st_ctime_ns // second * second, 1)
    assert not coarse.settle()
    assert FileState(1, coarse.changed_ns - 5 * second, 1).settle()
