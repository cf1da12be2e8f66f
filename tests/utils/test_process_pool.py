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

    def in_processes(function, tasks, jobs):
        left.append(len(tasks))
        return iter(tasks)

    left = []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(process_pool, "_in_processes", in_processes)
    assert list(each(work, range(cases), jobs=jobs)) == list(range(cases))
    assert left == ([cases - 2] if shared else [])
