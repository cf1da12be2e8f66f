"""Several processes at one run folder: each fold is trained once, and nothing is lost."""

import os
import signal
from collections import Counter

import pytest

from tests.faults.children import in_child
from tests.faults.tiny_run import TINY, leftovers, numbers, train, write_volumes

PROCESSES = 8
pytestmark = pytest.mark.slow  # as many processes as that want cores of their own


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("beside")
    manifest = write_volumes(folder)
    options = {**TINY, "folds": "4"}
    train(manifest, folder / "alone", options)
    return manifest, options, numbers(folder / "alone")


def start(work):
    """A child that works on its own; its number."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return child


def together(world, root, processes, killed=0):
    """Let processes do the same run, some of which are killed meanwhile."""
    manifest, options, right = world
    children = [start(lambda: train(manifest, root, options)) for _ in range(processes)]
    for child in children[:killed]:
        os.kill(child, signal.SIGKILL)
    codes = Counter(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)
    ending = in_child(lambda: train(manifest, root, options).failed, root.parent / "said")
    assert (ending.code, ending.value) == (0, []), ending
    assert numbers(root) == right
    published = Counter(
        path.parent.parent.name
        for path in root.glob("run/attempts/*/*/ended.json")
        if "published" in path.read_text()
    )
    return codes, published


def test_processes_that_do_the_same_run_lose_nothing(world, tmp_path):
    codes, published = together(world, tmp_path / "root", 3)
    assert codes == {0: 3}
    assert published == dict.fromkeys(("00", "01", "02", "03"), 1)
    assert leftovers(tmp_path / "root") == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_eight_processes_lose_nothing_again_and_again(world, tmp_path):
    lost = 0
    for trial in range(int(os.environ.get("VOLBENCH_TRIALS", "10"))):
        codes, published = together(world, tmp_path / f"{trial}", PROCESSES, killed=trial % 4)
        lost += 4 - sum(published.values()) if not trial % 4 else 0
        assert codes[0] == PROCESSES - trial % 4, codes
        assert max(published.values()) == 1
    print(f"\n{PROCESSES} processes, {trial + 1} times; folds lost: {lost}")
    assert not lost
