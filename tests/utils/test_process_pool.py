"""When work is shared among processes: where that saves more than starting them costs."""

import time

import pytest

from volbench._utils import process_pool
from volbench._utils.process_pool import each


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
