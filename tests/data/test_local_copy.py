"""Copies of prepared data on a machine's own disk: whole, made once, and never in the way."""

import multiprocessing
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.small import write_small
from volbench.data.cache import local_copy
from volbench.data.cache.local_copy import copy_here
from volbench.data.cache.packed_voxels import VOXELS, open_prepared


@pytest.fixture
def shared(tmp_path):
    return write_small(tmp_path / "shared", cases=6).folder


def test_a_copy_is_made_once_and_is_the_data(shared, tmp_path):
    place = tmp_path / "local"
    folder, why_not = copy_here(shared, place)
    assert why_not == ""
    assert folder.parent == place
    made = (folder / VOXELS).stat().st_mtime_ns
    assert copy_here(shared, place) == (folder, "")
    assert (folder / VOXELS).stat().st_mtime_ns == made
    copied, original = open_prepared(folder), open_prepared(shared)
    assert copied.voxels_digest == original.voxels_digest
    np.testing.assert_array_equal(copied.volume(0), original.volume(0))


def test_processes_that_come_together_make_one_copy(shared, tmp_path):
    with multiprocessing.get_context("fork").Pool(3) as pool:
        found = pool.starmap(copy_here, [(shared, tmp_path / "local")] * 3)
    assert len({folder for folder, _ in found}) == 1
    assert {why_not for _, why_not in found} == {""}
    assert [path.name for path in (tmp_path / "local").iterdir() if path.name[0] != "."] == [
        found[0][0].name
    ]


def test_a_full_disk_is_one_line_and_the_shared_folder_is_read(shared, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(local_copy.shutil, "disk_usage", lambda path: usage._replace(free=10))
    folder, why_not = copy_here(shared, tmp_path / "local")
    assert folder == shared
    assert why_not.startswith(f"no local copy in {tmp_path / 'local'} (0.0 GB are needed and")
    assert why_not.endswith("the shared folder is read instead")

    def full(source, target):
        Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.undo()
    monkeypatch.setattr(local_copy.shutil, "copyfile", full)
    folder, why_not = copy_here(shared, tmp_path / "local")
    assert folder == shared
    assert "(No space left on device)" in why_not
    assert not [path for path in (tmp_path / "local").iterdir() if path.name[0] != "."]
    assert not list((tmp_path / "local").glob(".*.tmp"))


def test_a_copy_that_differs_from_its_checksums_is_not_used(shared, tmp_path, monkeypatch):
    def flipped(source, target):
        content = bytearray(Path(source).read_bytes())
        if Path(source).name == VOXELS:
            content[len(content) // 2] ^= 0xFF
        Path(target).write_bytes(content)

    monkeypatch.setattr(local_copy.shutil, "copyfile", flipped)
    folder, why_not = copy_here(shared, tmp_path / "local")
    assert folder == shared
    assert "the shared folder is read instead" in why_not
