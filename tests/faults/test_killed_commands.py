"""`volbench run`, killed from outside again and again, ends with the same bits."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from tests.faults.tally import note, told
from tests.faults.tiny_run import FULLER, leftovers, numbers, train, write_volumes

KILLS = int(os.environ.get("VOLBENCH_COMMAND_KILLS", "100"))
PART = int(os.environ.get("VOLBENCH_FAULTS_PART", "0/1").partition("/")[0])
PER_RUN = 5


def start(manifest, root, jobs=1):
    """The command, as a person starts it."""
    overrides = [word for text in FULLER["overrides"] for word in ("--set", text)]
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "volbench", "run", "--encoder", FULLER["encoder"]),
            *("--agg", "max", "--loss", FULLER["loss"], "--data", str(manifest), "--folds", "2"),
            *("--precision", "float32", "--checkpoint-seconds", "0", "--jobs", str(jobs)),
            *("--out", str(root), "--name", "run", *overrides),
        ],
        env={**os.environ, "VOLBENCH_CACHE": f"{root}/cache"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def whole_run(manifest, root, jobs):
    """Seconds that the command takes where nobody stops it."""
    began = time.monotonic()
    command = start(manifest, root, jobs)
    said = command.communicate(timeout=300)[0]
    assert command.returncode == 0, said
    return time.monotonic() - began


def killed(manifest, root, jobs, seconds):
    """Start the command and kill it after some time; false if it had ended before.

    Much of the time goes into the start, before there is anything to lose.
    """
    command = start(manifest, root, jobs)
    time.sleep(seconds)
    command.send_signal(signal.SIGKILL)
    landed = command.wait(timeout=60) == -signal.SIGKILL
    command.stdout.close()
    return landed


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_command_killed_at_any_moment_is_continued_to_the_same_bits(tmp_path):
    """In one process, and in two that are forked from a server which dies with the command."""
    manifest = write_volumes(tmp_path)
    longest = {jobs: whole_run(manifest, tmp_path / f"whole{jobs}", jobs) for jobs in (1, 2)}
    right = numbers(tmp_path / "whole1")
    assert numbers(tmp_path / "whole2") == right
    train(manifest, tmp_path / "alone", FULLER)
    alone = numbers(tmp_path / "alone")
    alone["audit.csv"] = right["audit.csv"]  # with forests of more than one tree
    assert alone == right
    draw, counts = random.Random(PART), Counter()
    while counts["killed"] < KILLS:
        jobs = 1 + counts["runs"] % 2
        root = tmp_path / f"{counts['runs']}"
        for _ in range(PER_RUN):
            counts["killed"] += killed(manifest, root, jobs, longest[jobs] * draw.uniform(0.3, 0.9))
        last = start(manifest, root, jobs)
        said = last.communicate(timeout=300)[0]
        counts.update(runs=1, signals=PER_RUN, not_continued=last.returncode != 0)
        if last.returncode == 0:
            found = numbers(root)
            counts["other bits"] += found != right
            counts["left behind"] += leftovers(root) != []
        note("commands killed", counts)
        assert last.returncode == 0, said
        assert found == right
        assert leftovers(root) == []
        shutil.rmtree(root)
    print(f"\ncommands: {told(counts)}")
