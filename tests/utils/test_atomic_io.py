import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from volbench._utils.atomic_io import (
    FolderInUseError,
    FolderLock,
    open_atomic,
    write_atomic,
    write_json,
)
from volbench.errors import StorageError


def test_a_file_is_replaced_and_nothing_else_remains(tmp_path):
    path = tmp_path / "deep" / "state.txt"
    write_atomic(path, "old")
    write_atomic(path, b"new\n")
    assert path.read_bytes() == b"new\n"
    assert [entry.name for entry in path.parent.iterdir()] == ["state.txt"]


def test_a_write_that_fails_half_way_keeps_the_old_file(tmp_path):
    path = tmp_path / "state.bin"
    write_atomic(path, "old")
    with pytest.raises(TypeError), open_atomic(path) as file:
        file.writelines([b"half of it", "not bytes"])
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_is_replaced_only_once_the_new_one_is_on_the_disk(tmp_path, monkeypatch):
    events = []
    fsync, replace = os.fsync, Path.replace

    def recording_fsync(descriptor):
        events.append("sync folder" if os.path.isdir(f"/dev/fd/{descriptor}") else "sync file")
        fsync(descriptor)

    def recording_replace(source, target):
        events.append("rename")
        return replace(source, target)

    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(Path, "replace", recording_replace)
    write_atomic(tmp_path / "state", "x")
    assert events == ["sync file", "rename", "sync folder"]


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from volbench.errors import StorageError
from volbench._utils.atomic_io import write_atomic
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_atomic(Path(sys.argv[1]), b"x" * 5000)
except StorageError as error:
    print(error)
"""


def test_a_full_disk_is_a_storage_error_and_the_old_file_stays(tmp_path):
    path = tmp_path / "state.txt"
    path.write_text("old")
    command = [sys.executable, "-c", FULL_DISK, str(path)]
    message = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert message.startswith(f"cannot write {path}: File too large; free some space")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "taken").write_text("a file")
    path = tmp_path / "taken" / "state.txt"
    with pytest.raises(StorageError, match=f"cannot write {path}: .*choose a folder"):
        write_atomic(path, "x")


def test_the_same_value_is_the_same_json(tmp_path):
    write_json(tmp_path / "a", {"b": [1, 2.5], "a": "é"})
    write_json(tmp_path / "b", {"a": "é", "b": [1, 2.5]})
    text = (tmp_path / "a").read_text(encoding="utf-8")
    assert text == '{\n  "a": "é",\n  "b": [\n    1,\n    2.5\n  ]\n}\n'
    assert text == (tmp_path / "b").read_text(encoding="utf-8")


def test_json_that_no_other_program_reads_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a", {"auc": float("nan")})
    assert not list(tmp_path.iterdir())


HOLDER = """
import sys, time
from pathlib import Path
from volbench._utils.atomic_io import FolderLock
with FolderLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_folder_is_held_by_one_process_and_freed_when_it_is_killed(tmp_path):
    folder = tmp_path / "run"
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        message = f"{folder} is in use by process {holder.pid}; wait until it ends, or end it"
        with pytest.raises(FolderInUseError) as refusal, FolderLock(folder):
            pass
        assert str(refusal.value) == message
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with FolderLock(folder), pytest.raises(FolderInUseError), FolderLock(folder):
        pass


def test_a_lock_is_given_back_when_the_work_fails(tmp_path):
    with pytest.raises(RuntimeError), FolderLock(tmp_path):
        raise RuntimeError
    with FolderLock(tmp_path):
        pass


def test_a_folder_that_cannot_be_locked_is_a_storage_error(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(StorageError, match=r"cannot lock .*taken: File exists"):
        FolderLock(tmp_path / "taken").__enter__()
