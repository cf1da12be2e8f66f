"""When work is shared among processes: where that saves more than starting them costs."""

import platform
import time

import pytest

from volbench._utils import process_pool
from volbench._utils.heap import EVERY
from volbench._utils.process_pool import each
from volbench.data.checking.survey import survey
from volbench.data.preprocessing.options import Preprocessing
from volbench.data.sources import open_dataset
from volbench.datasets.phantom import Phantom
from volbench.datasets.phantom.export import export
from volbench.training.memory import process_memory_mb


@pytest.mark.parametrize(
    ("jobs", "cases", "shared"), [(16, 12, True), (2, 12, False), (1, 99, False)]
)
def test_many_cores_share_what_two_would_not(monkeypatch, jobs, cases, shared):
    now = [0.0]

    def work(task):
        now[0] += 0.6
        return task

    def in_processes(function, tasks, jobs, *, ordered):
        left.append(len(tasks))
        return iter(tasks)

    left = []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(process_pool, "_in_processes", in_processes)
    assert list(each(work, range(cases), jobs=jobs)) == list(range(cases))
    assert left == ([cases - 2] if shared else [])


def slow_if_first(number):
    time.sleep(0.5 if number == 0 else 0.0)
    return number


@pytest.mark.parametrize("ordered", [True, False])
def test_results_come_in_order_where_that_is_asked_for(ordered):
    tasks = range(6)
    found = list(process_pool._in_processes(slow_if_first, tasks, 2, ordered=ordered))
    assert sorted(found) == list(tasks)
    assert (found == list(tasks)) == ordered


def given_back_so_far(number):
    """How often a worker gave memory back before this task; its first task starts to count."""
    if process_pool.give_back is not _GIVEN.append_one:
        process_pool.give_back = _GIVEN.append_one
    return _GIVEN.times


class _Given:
    def __init__(self):
        self.times = 0
        self.append_one = self._append_one  # one object, to be compared

    def _append_one(self):
        self.times += 1


_GIVEN = _Given()


def test_memory_is_given_back_every_so_many_cases_here_and_in_workers(monkeypatch):
    given = []
    monkeypatch.setattr(process_pool, "give_back", lambda: given.append(1))
    counts = [len(given) for _ in each(abs, range(3 * EVERY), jobs=1)]
    assert counts == [place // EVERY for place in range(3 * EVERY)]
    there = process_pool._in_processes(given_back_so_far, range(2 * EVERY + 1), 1, ordered=True)
    assert list(there) == [*[0] * EVERY, *[1] * EVERY, 2]


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library is left alone")
def test_reading_a_thousand_volumes_takes_no_more_memory_than_reading_some(tmp_path):
    """A thumbnail and some facts of each are kept; it was half a megabyte with some cohorts."""
    manifest = export(
        Phantom(patients=1000, size=16, slices=3), tmp_path, report=lambda done, total: None
    )
    dataset, _ = open_dataset(str(manifest))
    options = Preprocessing(size=256, crop="none").resolved(dataset)
    sizes = []
    survey(dataset, options=options, on_case=lambda *_: sizes.append(process_memory_mb("RssAnon")))
    assert sizes[-1] - sizes[199] < 800 * 0.04
