"""Temporary files of dead writers go, those of live ones stay."""

import os
import signal
import subprocess
import sys
import time

from volbench._utils import leftovers
from volbench._utils.atomic_io import write_atomic
from volbench._utils.leftovers import LEFT_S, clean, temporary_path
from volbench._utils.processes import ProcessIdentity, token_has_ended

HALF_WAY = """
import sys, time
from pathlib import Path
from volbench._utils.atomic_io import open_atomic
with open_atomic(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    print("ready", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_writer_left_goes_with_the_next_write_and_a_live_ones_stays(tmp_path):
    writer = subprocess.Popen(
        [sys.executable, "-c", HALF_WAY, str(tmp_path / "state")], stdout=subprocess.PIPE
    )
    try:
        assert writer.stdout.readline() == b"ready\n"
        (left,) = tmp_path.iterdir()
        clean(tmp_path)
        assert left.read_bytes() == b"half"
        writer.send_signal(signal.SIGKILL)
        writer.wait(timeout=60)
        write_atomic(tmp_path / "other", "x")
        assert [path.name for path in tmp_path.iterdir()] == ["other"]
    finally:
        writer.kill()
        writer.stdout.close()
        writer.wait(timeout=60)


def test_a_file_of_another_machine_goes_only_when_it_is_old(tmp_path):
    elsewhere = tmp_path / ".state.1-1-00000000.tmp"
    before_tokens = tmp_path / ".state.99.tmp"
    for path in (elsewhere, before_tokens):
        path.write_text("half")
        clean(tmp_path)
        assert path.exists()
        os.utime(path, (time.time() - LEFT_S - 60,) * 2)
    clean(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_number_that_was_given_again_is_another_process():
    token = ProcessIdentity.current().token
    pid, started, space = token.split("-")
    assert not token_has_ended(token)
    assert token_has_ended(f"{pid}-{int(started) + 1}-{space}")
    assert not token_has_ended(f"{pid}-{int(started) + 1}-00000000")
    assert not token_has_ended("99")


def test_other_hidden_files_are_not_leftovers(tmp_path):
    for name in (".lock", ".progress.json", ".tmp", ".a.tmp", "state.1.tmp"):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (1, 1))
    clean(tmp_path)
    assert len(list(tmp_path.iterdir())) == 5


def test_a_folder_is_looked_through_once_per_process(tmp_path, monkeypatch):
    looked = []
    monkeypatch.setattr(leftovers, "clean", looked.append)
    for _ in range(3):
        write_atomic(tmp_path / "state", "x")
    assert looked == [tmp_path]
    assert not temporary_path(tmp_path / "state").exists()
