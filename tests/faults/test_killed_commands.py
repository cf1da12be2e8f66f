"""`volbench run`, killed from outside again and again, ends with the same bits."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from tests.faults.tiny_run import FULLER, leftovers, numbers, train, write_volumes

KILLS = int(os.environ.get("VOLBENCH_COMMAND_KILLS", "100"))
PER_RUN = 5


def start(manifest, root):
    """The command, as a person starts it."""
    overrides = [word for text in FULLER["overrides"] for word in ("--set", text)]
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "volbench", "run", "--encoder", FULLER["encoder"]),
            *("--agg", "max", "--loss", FULLER["loss"], "--data", str(manifest), "--folds", "2"),
            *("--precision", "float32", "--checkpoint-seconds", "0", "--jobs", "1"),
            *("--out", str(root), "--name", "run", *overrides),
        ],
        env={**os.environ, "VOLBENCH_CACHE": f"{root}/cache"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_command_killed_at_any_moment_is_continued_to_the_same_bits(tmp_path):
    manifest = write_volumes(tmp_path)
    train(manifest, tmp_path / "alone", FULLER)
    right = numbers(tmp_path / "alone")
    right.pop("audit.csv")  # with forests of more than one tree
    began = time.monotonic()
    whole = start(manifest, tmp_path / "whole")
    said = whole.communicate(timeout=300)[0]
    assert whole.returncode == 0, said
    longest = time.monotonic() - began
    draw, killed, runs = random.Random(0), 0, 0
    while killed < KILLS:
        runs += 1
        root = tmp_path / f"{runs}"
        for _ in range(PER_RUN):
            command = start(manifest, root)
            # Much of the time goes into the start, before there is anything to lose.
            time.sleep(longest * draw.uniform(0.3, 0.9))
            command.send_signal(signal.SIGKILL)
            killed += command.wait(timeout=60) == -signal.SIGKILL
            command.stdout.close()
        last = start(manifest, root)
        said = last.communicate(timeout=300)[0]
        assert last.returncode == 0, said
        found = numbers(root)
        assert found.pop("audit.csv") == numbers(tmp_path / "whole")["audit.csv"]
        assert found == right
        assert leftovers(root) == []
    print(f"\ncommands killed: {killed} in {runs} runs; other bits: 0; not continued: 0")
