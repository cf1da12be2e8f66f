"""Runs that are killed, or refused by the disk, at any operation: continued to the same bits.

Each point is tried in a forked child, which is killed there, and continued in another.
"""

import os
import random
import shutil
import time
from collections import Counter
from functools import partial

import pytest

from tests.faults.children import GONE_ON, in_child
from tests.faults.filesystem import WRITES, FaultyFiles
from tests.faults.tally import note, told
from tests.faults.tiny_run import FULLER, LONGER, leftovers, numbers, train, write_volumes
from volbench.errors import StorageError

QUICK = int(os.environ.get("VOLBENCH_STOPS", "2"))
SCENARIOS = {"longer": LONGER, "fuller": FULLER}
KILLED = -9
PART, PARTS = map(int, os.environ.get("VOLBENCH_FAULTS_PART", "0/1").split("/"))
"""The slow campaigns can be done in parts, one after the other or side by side."""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The data, and what undisturbed runs on them give and do."""
    folder = tmp_path_factory.mktemp("stopped")
    manifest = write_volumes(folder)
    train(manifest, folder / "first", LONGER)  # so that no child has anything left to import
    return World(manifest, folder)


class World:
    """Undisturbed runs, each done when it is first asked for."""

    def __init__(self, manifest, folder):
        self.manifest = manifest
        self._folder = folder
        self._known = {}

    def undisturbed(self, scenario):
        """Numbers of a run, and its operations."""
        if scenario in self._known:
            return self._known[scenario]
        root = self._folder / scenario
        work = partial(attempt, self.manifest, root, SCENARIOS[scenario])
        ending = in_child(work, self._folder / "said")
        assert ending.code == 0, ending.errors
        self._known[scenario] = numbers(root), ending.value[1]
        return self._known[scenario]


def attempt(manifest, root, options, fault="none", at=-1):
    """Train with a fault; tell how it ended and which operations there were."""
    files = FaultyFiles(root, fault, at).install()
    try:
        outcome = train(manifest, root, options)
    except (StorageError, OSError) as error:  # the command line makes one line of either
        return f"{type(error).__name__}: {error}", files.log
    return "failed" if outcome.failed else "finished", files.log


class Campaign:
    """Stops runs and continues them.

    Attributes:
        counts: How the stopped runs ended.
        wrong: What should not have been.
    """

    def __init__(self, world, folder, title):
        self.world = world
        self.folder = folder
        self.wrong: list[str] = []
        self.counts: Counter[str] = Counter()
        self._title = title

    def stop(self, scenario, *points):
        """Stop a run at each of the points, (fault, number), one after the other; continue it."""
        options, root = SCENARIOS[scenario], self.folder / "root"
        for fault, at in points:
            ending = self._attempt(root, options, fault, at)
            self._judge(f"{scenario} {points}", fault, ending)
        ending = self._attempt(root, options)
        if ending.code != 0 or ending.value[0] != "finished":
            self.wrong.append(f"{scenario} {points}: not continued: {ending}")
        elif numbers(root) != self.world.undisturbed(scenario)[0]:
            self.wrong.append(f"{scenario} {points}: other numbers")
        elif left := leftovers(root):
            self.wrong.append(f"{scenario} {points}: left behind: {left}")
        shutil.rmtree(root, ignore_errors=True)
        note(self._title, {**self.counts, "wrong": len(self.wrong)})

    def operations(self, scenario):
        """What an undisturbed run does."""
        return self.world.undisturbed(scenario)[1]

    def _attempt(self, *arguments):
        return in_child(partial(attempt, self.world.manifest, *arguments), self.folder / "said")

    def _judge(self, where, fault, ending):
        if ending.code == 0:
            word = ending.value[0].split(":")[0]
        else:
            word = "killed" if ending.code == KILLED else f"exit {ending.code}"
        self.counts[f"{fault}: {word}"] += 1
        if ending.code not in (0, KILLED) or (ending.code == KILLED) != (fault in ("kill", "torn")):
            if ending.code == 0 and fault in ("kill", "torn"):
                return  # the second run of two had less to do, and ended before
            self.wrong.append(f"{where}: {fault} ended with {ending}")

    def report(self):
        """Print the counts and fail if anything was wrong."""
        print(f"\n{self._title}: {told(self.counts)}; wrong: {len(self.wrong)}")
        assert not self.wrong, "\n".join(self.wrong[:5])


def test_a_run_killed_anywhere_is_continued_to_the_same_bits(world, tmp_path):
    campaign = Campaign(world, tmp_path, "killed")
    draw = random.Random(0)
    done = campaign.operations("longer")
    for at in draw.sample(range(len(done)), QUICK):
        campaign.stop("longer", (draw.choice(("kill", "torn")), at))
    campaign.report()


def test_a_run_refused_by_the_disk_anywhere_is_continued_to_the_same_bits(world, tmp_path):
    campaign = Campaign(world, tmp_path, "refused")
    draw = random.Random(1)
    done = campaign.operations("longer")
    writes = [n for n, (kind, _) in enumerate(done) if kind in WRITES]
    for at in draw.sample(writes, QUICK // 2):
        campaign.stop("longer", (draw.choice(("ENOSPC", "EIO")), at))
    campaign.report()


@pytest.mark.parametrize(
    "moved",
    [
        pytest.param("/draft/history.csv", id="when a fold is published"),
        pytest.param("folds/01/checkpoint.safetensors", id="when a fold is begun"),
    ],
)
def test_a_disk_that_is_full_when_files_are_moved_ends_the_run_at_once(world, tmp_path, moved):
    """And not after waiting for a lease that cannot be given back either."""
    campaign = Campaign(world, tmp_path, "refused when moved")
    done = campaign.operations("longer")
    (at, *_) = [n for n, (kind, path) in enumerate(done) if kind == "rename" and moved in path]
    began = time.monotonic()
    campaign.stop("longer", ("ENOSPC", at))
    campaign.report()
    assert campaign.counts == {"ENOSPC: StorageError": 1}
    assert time.monotonic() - began < 50


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_run_killed_at_every_operation_is_continued_to_the_same_bits(scenario, world, tmp_path):
    campaign = Campaign(world, tmp_path, f"every operation of {scenario}")
    for at, (kind, _) in enumerate(campaign.operations(scenario)):
        if at % PARTS == PART:
            campaign.stop(scenario, ("torn" if kind == "write" else "kill", at))
    campaign.report()


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_run_killed_twice_is_continued_to_the_same_bits(world, tmp_path):
    campaign = Campaign(world, tmp_path, "killed twice")
    draw = random.Random(2 + PART)
    for _ in range(int(os.environ.get("VOLBENCH_DOUBLE_STOPS", "150")) // PARTS):
        scenario = draw.choice(list(SCENARIOS))
        length = len(campaign.operations(scenario))
        first = draw.randrange(length)
        campaign.stop(scenario, ("kill", first), ("torn", draw.randrange(length - first + 20)))
    campaign.report()


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("fault", ["ENOSPC", "EIO"])
def test_every_write_that_the_disk_refuses_is_continued_to_the_same_bits(fault, world, tmp_path):
    campaign = Campaign(world, tmp_path, f"every write x {fault}")
    for at, (kind, _) in enumerate(campaign.operations("longer")):
        if kind in WRITES and at % PARTS == PART:
            campaign.stop("longer", (fault, at))
    campaign.report()


def test_a_child_that_raises_is_told_from_one_that_was_killed(tmp_path):
    assert in_child(lambda: 1 / 0, tmp_path).code == GONE_ON
    assert "ZeroDivisionError" in in_child(lambda: 1 / 0, tmp_path).errors
