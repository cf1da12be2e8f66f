"""The digest of a file is computed once, kept between processes, and never outlives its content."""

import hashlib
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from volbench._utils import remembered_digest as module
from volbench._utils.cache_location import cache_root
from volbench._utils.digest_memory import recall, remember
from volbench._utils.digested_files import MAGIC, read_sealed, write_sealed
from volbench._utils.remembered_digest import MEMORY, remembered_digest
from volbench.datasets.medmnist import MedMNIST


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(autouse=True)
def hashed(tmp_path, monkeypatch):
    """Names of the files that were read; a cache of the test's own, and no memory of a process."""
    monkeypatch.setenv("VOLBENCH_CACHE", str(tmp_path / "cache"))
    names, really = [], module._hash
    monkeypatch.setattr(module, "_hash", lambda path: names.append(path.name) or really(path))
    as_another_process()
    return names


def as_another_process():
    module._remembered.cache_clear()


def test_an_unchanged_file_is_read_once_for_all_processes(tmp_path, hashed):
    path = tmp_path / "a.npz"
    path.write_bytes(b"voxels")
    for _ in range(3):
        as_another_process()
        assert remembered_digest(path) == sha256(path)
    assert hashed == ["a.npz"]
    program = (
        "from pathlib import Path; from volbench._utils import remembered_digest as m; "
        f"m._hash = None; print(m.remembered_digest(Path({str(path)!r})))"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert said.stdout.strip() == sha256(path), said.stderr


def in_place(path):
    path.write_bytes(path.read_bytes()[::-1])


def renamed(path):
    shutil.copy2(path, path.with_name("b"))
    in_place(path.with_name("b"))
    os.utime(path.with_name("b"), ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    os.replace(path.with_name("b"), path)


@pytest.mark.parametrize("change", [in_place, renamed])
def test_a_file_of_equal_size_and_time_has_a_digest_of_its_own(change, tmp_path, hashed):
    path = tmp_path / "a.npz"
    path.write_bytes(b"voxels")
    before, first = path.stat(), remembered_digest(path)
    change(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert remembered_digest(path) == sha256(path) != first
    as_another_process()
    assert remembered_digest(path) == sha256(path)
    assert hashed == ["a.npz"] * 2


def test_a_memory_that_was_changed_is_not_believed(tmp_path, hashed):
    path, other = tmp_path / "a.npz", tmp_path / "b.npz"
    path.write_bytes(b"voxels")
    other.write_bytes(b"other voxels")
    first = remembered_digest(path)
    memory = cache_root() / MEMORY
    whole, content = memory.read_bytes(), read_sealed(memory)
    forged = content.replace(first.encode(), b"0" * 64)
    assert forged != content
    for text in (whole[:-9], MAGIC + b"0" * 64 + b"\n" + content, forged, b""):
        memory.write_bytes(text)
        as_another_process()
        assert remembered_digest(path) == first
    assert hashed == ["a.npz"] * 5
    remembered_digest(other)  # what is known of one file is kept when another one is read
    as_another_process()
    hashed.clear()
    assert (remembered_digest(path), remembered_digest(other)) == (sha256(path), sha256(other))
    assert hashed == []
    for odd in (b'{"version": 0, "known": []}', b'{"version": 1, "known": []}', b"[1]", b'"x"'):
        write_sealed(memory, odd)
        as_another_process()
        assert remembered_digest(path) == first


def test_what_another_version_remembered_is_not_believed(tmp_path):
    memory = tmp_path / "memory"
    remember(memory, 1, {"a": 1})
    assert (recall(memory, 1), recall(memory, 2)) == ({"a": 1}, {})
    remember(memory, 2, {"b": 2})
    assert (recall(memory, 1), recall(memory, 2)) == ({}, {"b": 2})


def test_a_file_whose_changes_may_not_show_yet_is_read_each_time(tmp_path, hashed, monkeypatch):
    path = tmp_path / "a.npz"
    path.write_bytes(b"voxels")
    monkeypatch.setattr(module.FileState, "settle", lambda state: False)
    for _ in range(2):
        as_another_process()
        assert remembered_digest(path) == sha256(path)
    assert hashed == ["a.npz"] * 2
    assert not (cache_root() / MEMORY).exists()


def test_a_file_that_changes_while_it_is_read_is_not_remembered(tmp_path, monkeypatch, hashed):
    path = tmp_path / "a.npz"
    path.write_bytes(b"voxels")
    really = module._hash
    monkeypatch.setattr(module, "_hash", lambda path: (really(path), in_place(path))[0])
    remembered_digest(path)
    monkeypatch.setattr(module, "_hash", really)
    as_another_process()
    assert remembered_digest(path) == sha256(path)


def test_a_cache_that_cannot_be_written_serves(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VOLBENCH_CACHE", str(tmp_path / "file" / "cache"))
    path = tmp_path / "a.npz"
    path.write_bytes(b"voxels")
    assert remembered_digest(path) == sha256(path)


def test_opening_a_medmnist_file_again_does_not_read_all_of_it(tmp_path, hashed):
    path = tmp_path / "adrenalmnist3d.npz"
    arrays = {}
    for split in ("train", "val", "test"):
        arrays[f"{split}_images"] = np.arange(128, dtype=np.uint8).reshape(2, 4, 4, 4)
        arrays[f"{split}_labels"] = np.array([[0], [1]], np.uint8)
    np.savez(path, **arrays)
    prints = set()
    for _ in range(2):
        as_another_process()
        prints.add(tuple(case.source.fingerprint() for case in MedMNIST(path=str(path)).cases()))
    assert hashed == [path.name]
    assert len(prints) == 1
    assert len(set(*prints)) == 6
