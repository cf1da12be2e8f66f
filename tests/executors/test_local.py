"""Tasks on this machine: the contract, devices, stopping."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from volbench.errors import SpecError
from volbench.executors.local import Local
from volbench.executors.pool import Workers
from volbench.interfaces import ExecutorTask
from volbench.testing import ExecutorContract
from volbench.testing.executors import toy


class TestLocal(ExecutorContract):
    spec = "local(jobs=2)"


def run(executor, tasks, folder):
    events = []
    executor.submit(tasks, folder, events.append)
    return {event.key: event for event in events if event.kind not in ("started", "progress")}


def test_each_process_sees_its_own_gpu(tmp_path):
    tasks = [toy(str(n), "environment", name="CUDA_VISIBLE_DEVICES", seconds=0.3) for n in range(4)]
    with Local(jobs=2, gpus=(0, 3)) as executor:
        ended = run(executor, tasks, tmp_path)
    seen = {event.value["pid"]: event.value["value"] for event in ended.values()}
    assert sorted(seen.values()) == ["0", "3"]
    assert os.environ.get("CUDA_VISIBLE_DEVICES") is None


def test_several_tasks_share_a_gpu_when_there_are_more_jobs(tmp_path):
    executor = Local(jobs=4, gpus=("0", "1"))
    assert executor.devices == ["0", "1", "0", "1"]


def test_one_job_runs_in_this_process(tmp_path):
    with Local() as executor:
        ended = run(executor, [toy("a", "environment", name="HOME")], tmp_path)
    assert ended["a"].value["pid"] == os.getpid()


def test_more_tasks_run_at_a_time_once_it_is_resized(tmp_path):
    tasks = [toy(str(n), "environment", name="HOME", seconds=0.2) for n in range(6)]
    running, at_once, pids = set(), [], set()

    def on_event(event):
        if event.kind == "started":
            running.add(event.key)
            at_once.append(len(running))
            return
        running.remove(event.key)
        pids.add(event.value["pid"])
        if len(at_once) == 1:  # a first one has shown what it takes
            executor.resize(3)

    with Local().apart() as executor:
        executor.submit(tasks, tmp_path, on_event)
    assert at_once[0] == 1
    assert max(at_once) == 3
    assert len(pids) == 3
    assert os.getpid() not in pids
    with pytest.raises(SpecError, match="at least one task"):
        executor.resize(0)


def test_fewer_tasks_run_at_a_time_once_it_is_resized(tmp_path):
    tasks = [toy(str(n), "environment", name="HOME", seconds=0.1) for n in range(6)]
    running, left_behind = set(), []

    def on_event(event):
        if event.kind == "started":
            running.add(event.key)
            return
        running.remove(event.key)
        executor.resize(1)
        left_behind.append(len(running))

    with Local(jobs=3) as executor:
        executor.submit(tasks, tmp_path, on_event)
    assert left_behind[0] == 2  # not interrupted
    assert left_behind[-3:] == [0, 0, 0]
    assert len(left_behind) == 6


def test_what_waiting_processes_keep_of_a_device_is_free_for_a_task_that_runs_alone(tmp_path):
    tasks = [toy(str(n), "environment", name="HOME", seconds=0.2) for n in range(3)]
    (first, second, third) = tasks
    alone = ExecutorTask("alone", third.function, third.payload, alone=True)
    with Workers() as workers:
        with Local(jobs=3).sharing(workers) as executor:
            before = run(executor, tasks, tmp_path)
        with Local(jobs=2).sharing(workers) as executor:
            after = run(executor, [first, second, alone], tmp_path)
        kept = {event.value["pid"] for event in before.values()}
        assert {after[key].value["pid"] for key in ("0", "1")} <= kept
        assert after["alone"].value["pid"] not in kept
        # PyTorch keeps a GPU's memory for its process; that of all three has ended.
        assert not [pid for pid in kept if Path(f"/proc/{pid}").exists()]


def test_where_memory_runs_out_one_task_fewer_runs_at_a_time(tmp_path):
    tasks = [
        toy("0", "exhaust"),
        *(toy(str(n), "environment", name="HOME", seconds=0.3) for n in range(1, 7)),
    ]
    running, at_once = set(), []

    def on_event(event):
        if event.kind == "started":
            running.add(event.key)
        else:
            running.discard(event.key)
        if "0" not in running:
            at_once.append(len(running))

    with Local(jobs=3) as executor:
        executor.submit(tasks, tmp_path, on_event)
        assert max(at_once) == 2
        assert not running
        # The last one of a device stays, whatever it says.
        ended = run(executor, [toy(str(n), "exhaust") for n in range(3)], tmp_path)
        assert {event.kind for event in ended.values()} == {"out_of_memory"}
        assert len(executor.devices) == 1


def test_memory_that_runs_out_on_one_gpu_leaves_the_others_alone(tmp_path):
    tasks = [toy("0", "exhaust"), *(toy(str(n), "environment", name="HOME") for n in range(1, 8))]
    with Local(jobs=4, gpus=("3", "5")) as executor:
        ended = run(executor, tasks, tmp_path)
        assert [event.kind for event in ended.values()].count("done") == 7
        assert executor.devices == ["5", "3", "5"]
    with Local(jobs=2, gpus=("3", "5")) as executor:
        run(executor, tasks, tmp_path)
        assert executor.devices == ["3", "5"]


def test_processes_are_kept_for_the_next_run(tmp_path):
    tasks = [toy(str(n), "environment", name="HOME") for n in range(2)]
    with Workers() as workers:
        pids = []
        for _ in range(2):
            with Local(jobs=2).sharing(workers) as executor:
                ended = run(executor, tasks, tmp_path)
            pids.append({event.value["pid"] for event in ended.values()})
    assert pids[0] & pids[1]


def test_a_process_has_the_environment_that_its_parent_has_when_it_starts(tmp_path, monkeypatch):
    for value in ("one", "another"):
        monkeypatch.setenv("VOLBENCH_OF_A_TEST", value)
        with Local(jobs=2) as executor:
            ended = run(executor, [toy("a", "environment", name="VOLBENCH_OF_A_TEST")], tmp_path)
        assert ended["a"].value["value"] == value


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_processes_are_forked_from_may_die_between_two_runs(tmp_path):
    tasks = [toy(str(n), "environment", name="HOME") for n in range(2)]
    with Workers() as workers:
        for _ in range(2):
            with Local(jobs=2).sharing(workers) as executor:
                ended = run(executor, tasks, tmp_path)
            assert {event.kind for event in ended.values()} == {"done"}
            pid = ended["0"].value["pid"]
            server = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            assert b"forkserver" in Path(f"/proc/{server}/cmdline").read_bytes()
            os.kill(server, signal.SIGKILL)
            while Path(f"/proc/{pid}").exists():
                time.sleep(0.01)


def test_a_task_that_needs_a_device_for_itself_waits_for_it(tmp_path):
    order = []
    tasks = [
        toy("alone", "environment", name="HOME"),
        toy("a", "environment", name="HOME", seconds=0.2),
        toy("b", "environment", name="HOME", seconds=0.2),
    ]
    tasks[0] = type(tasks[0])(tasks[0].key, tasks[0].function, tasks[0].payload, alone=True)
    with Local(jobs=2) as executor:
        executor.submit(tasks, tmp_path, lambda event: order.append((event.key, event.kind)))
    assert order.index(("alone", "started")) > order.index(("a", "done"))
    assert order.index(("alone", "started")) > order.index(("b", "done"))


@pytest.mark.parametrize("jobs", [1, 2])
def test_sigterm_lets_tasks_keep_their_state(tmp_path, jobs):
    kept = [tmp_path / str(number) for number in range(3)]
    tasks = [toy(path.name, "wait_to_stop", kept=str(path)) for path in kept]
    before = signal.getsignal(signal.SIGTERM)
    events = []

    def on_event(event):
        events.append(event)
        told = sum(event.kind == "progress" for event in events)
        if event.kind == "progress" and told == jobs:
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()

    with Local(jobs=jobs) as executor:
        began = time.monotonic()
        executor.submit(tasks, tmp_path, on_event)
    assert time.monotonic() - began < 30
    ended = {event.key: event.kind for event in events}
    assert ended == dict.fromkeys(("0", "1", "2"), "preempted"), events
    assert sum(path.exists() for path in kept) == jobs
    assert signal.getsignal(signal.SIGTERM) is before


def test_no_job_at_all_is_refused():
    with pytest.raises(SpecError, match="at least one task"):
        Local(jobs=0)
