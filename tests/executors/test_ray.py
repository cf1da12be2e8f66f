"""Tasks on Ray: a local cluster of three raylets with GPUs that are made up."""

import json
import socket
import subprocess
import sys
import threading
import time

import pytest

from tests.helpers.small import write_small
from volbench.errors import ExecutorError, SpecError
from volbench.executors.ray import Ray
from volbench.testing import ExecutorContract
from volbench.testing.executors import toy

# Ray leaves sockets and files open, which are no leaks of ours.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "num_gpus": 2})
    cluster.extra = [cluster.add_node(num_cpus=2, num_gpus=2) for _ in range(2)]
    yield cluster
    import ray

    ray.shutdown()
    cluster.shutdown()


@pytest.mark.slow
class TestRay(ExecutorContract):
    spec = "ray(address='auto', retries=0, cpus=0.5)"

    @pytest.fixture(autouse=True)
    def _cluster(self, cluster, monkeypatch):
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)


@pytest.mark.slow
def test_two_tasks_share_a_gpu_each_seeing_one(cluster, tmp_path):
    tasks = [toy(str(n), "environment", name="CUDA_VISIBLE_DEVICES", seconds=3) for n in range(6)]
    ended = {}
    with Ray(address=cluster.address, gpus=0.5, cpus=0.1) as executor:
        executor.submit(tasks, tmp_path, lambda event: ended.update({event.key: event}))
    assert {event.value["value"] for event in ended.values()} <= {"0", "1"}


@pytest.mark.slow
def test_tasks_outlive_who_submitted_them_and_the_same_command_attaches(cluster, tmp_path):
    """Killed, as Ctrl-C would end it; what runs is not begun again."""
    code = (
        "import sys; from pathlib import Path; from volbench.executors.ray import Ray;"
        "from volbench.testing.executors import toy;"
        f"Ray(address={cluster.address!r}, cpus=0.1).submit("
        "[toy('a', 'environment', name='HOME', seconds=8)], Path(sys.argv[1]),"
        "lambda event: print(event.kind, flush=True))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "waiting\n"
        assert first.stdout.readline() == "started\n"
        first.kill()
    events = []
    with Ray(address=cluster.address, cpus=0.1, poll_s=0.2) as executor:
        assert executor.detaches
        task = toy("a", "environment", name="HOME", seconds=8)
        executor.submit([task], tmp_path, events.append)
    assert [event.kind for event in events] == ["waiting", "started", "done"]
    assert len(list(tmp_path.rglob("mail-*"))) == 1


@pytest.mark.slow
def test_a_keeper_that_is_left_alone_ends(cluster, tmp_path):
    import ray

    from volbench.executors.ray_keeper import NAMESPACE, find_or_start

    with Ray(address=cluster.address) as executor:
        executor._connect()
        keeper = find_or_start(ray, tmp_path, linger_s=1.0)
        assert ray.get(keeper.running.remote()) == []
        deadline = time.monotonic() + 30
        while any(actor["namespace"] == NAMESPACE for actor in ray.util.list_named_actors(True)):
            assert time.monotonic() < deadline
            time.sleep(0.5)


def test_a_cluster_of_its_own_ends_with_the_command():
    assert not Ray(address="local").detaches
    assert Ray().detaches


SUITE = """
title = "Eight"
[[table]]
title = "Encoders, aggregators, losses"
encoder = ["r2d(width=2)", "r3d(width=2)"]
aggregator = ["average", "max"]
loss = ["focal", "cross_entropy"]
"""


@pytest.mark.slow
@pytest.mark.timeout(900)  # two and a half minutes on two idle cores
def test_a_suite_outlives_a_node_with_the_numbers_of_local(cluster, tmp_path):
    """Eight experiments of three folds, two tasks a GPU; a node goes without grace half-way."""
    data = write_small(tmp_path / "data", cases=24).folder
    (tmp_path / "suite.toml").write_text(SUITE)
    command = [sys.executable, "-c", "from volbench.cli.main import main; main()", "suite", "run"]
    command += [str(tmp_path / "suite.toml"), "--data", str(data), "--folds", "3"]
    command += ["--set", "training.epochs=30", "--device", "cpu", "--jobs", "2"]
    on = f"ray(address='{cluster.address}', gpus=0.5, cpus=1)"
    there, here = tmp_path / "there", tmp_path / "here"
    with subprocess.Popen(
        [*command, "--out", str(there), "--on", on], stderr=subprocess.PIPE, text=True
    ) as process:
        threading.Thread(target=remove_half_way, args=(cluster, there, 8), daemon=True).start()
        _, said = process.communicate(timeout=500)
    assert process.returncode == 0, said
    assert len(cluster.extra) == 1, "the node was removed while folds were left"
    done = subprocess.run([*command, "--out", str(here)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    predictions = sorted(path.relative_to(here) for path in here.glob("*/folds/*/predictions.csv"))
    assert len(predictions) == 24
    for path in predictions:
        assert (there / path).read_bytes() == (here / path).read_bytes()
    for fold in there.glob("*/attempts/*"):
        ended = [json.loads(path.read_text())["outcome"] for path in fold.glob("*/ended.json")]
        assert ended.count("published") == 1
    cluster.extra.append(cluster.add_node(num_cpus=2, num_gpus=2))


def remove_half_way(cluster, out, folds):
    while len(list(out.glob("*/folds/*/result.json"))) < folds:
        time.sleep(0.1)
    cluster.remove_node(cluster.extra.pop(), allow_graceful=False)


@pytest.mark.slow
def test_a_node_that_is_removed_loses_nothing_and_publishes_nothing_twice(cluster, tmp_path):
    data = write_small(tmp_path / "data", cases=24).folder
    out = tmp_path / "runs"
    command = [sys.executable, "-c", "from volbench.cli.main import main; main()", "run"]
    command += ["--encoder", "rmc5(width=2)", "--agg", "bilinear", "--loss", "focal"]
    command += ["--folds", "3", "--set", "training.epochs=100", "--device", "cpu", "--jobs", "2"]
    command += ["--data", str(data), "--out", str(out), "--checkpoint-seconds", "1"]
    on = f"ray(address='{cluster.address}', gpus=0.5, cpus=1)"
    there = [*command, "--name", "there", "--on", on]
    with subprocess.Popen(there, stderr=subprocess.PIPE, text=True) as process:
        threading.Thread(target=remove_a_node, args=(cluster, out / "there"), daemon=True).start()
        _, said = process.communicate(timeout=250)
    assert process.returncode == 0, said
    here = subprocess.run([*command, "--name", "here"], capture_output=True, text=True)
    assert here.returncode == 0, here.stderr
    for fold in range(3):
        name = f"folds/{fold:02d}/predictions.csv"
        assert (out / "there" / name).read_bytes() == (out / "here" / name).read_bytes()
        ended = [
            json.loads(path.read_text())["outcome"]
            for path in (out / "there/attempts" / f"{fold:02d}").glob("*/ended.json")
        ]
        assert ended.count("published") == 1


def remove_a_node(cluster, run):
    while len(list(run.glob("attempts/*/0001/progress.json"))) < 3:
        time.sleep(0.1)
    for node in cluster.extra:
        cluster.remove_node(node, allow_graceful=False)


def test_a_head_that_does_not_answer_is_one_line(tmp_path, monkeypatch):
    ray = pytest.importorskip("ray")

    def refuse(**options):
        raise ConnectionError("nobody\nlistens")

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(ExecutorError, match=r"no Ray cluster answers at auto \(nobody listens\)"):
        Ray().submit([toy("a", "echo")], tmp_path, print)


@pytest.mark.parametrize("prefix", ["", "ray://"])
def test_an_address_where_nobody_listens_is_refused_at_once(tmp_path, prefix):
    pytest.importorskip("ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"{prefix}127.0.0.1:{free.getsockname()[1]}"
    began = time.monotonic()
    with pytest.raises(ExecutorError, match=r"no Ray cluster .*\(\[Errno 111\] .*; start one with"):
        Ray(address=address).submit([toy("a", "echo")], tmp_path, print)
    assert time.monotonic() - began < 20  # Ray's own attempts take minutes


def test_without_ray_it_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ExecutorError, match="needs Ray; install it: pip install"):
        Ray().submit([toy("a", "echo")], tmp_path, print)


def node(alive=True, **resources):
    return {"Alive": alive, "Resources": resources}


def test_more_than_any_node_has_is_said_while_a_node_may_still_join():
    nodes = [node(CPU=8.0, GPU=2.0, memory=16 * 2**30), node(CPU=64.0), node(alive=False, GPU=8.0)]
    assert Ray(gpus=2, cpus=8, mem_gb=16)._shortage(nodes) == ""
    assert Ray(gpus=4)._shortage(nodes) == (
        "no node of the Ray cluster has 4 GPUs (at most 2); it starts when one joins, or ask for "
        "less: --on 'ray(gpus=...)'"
    )
    assert "has 65 cores (at most 64)" in Ray(cpus=65)._shortage(nodes)
    assert "has 20 GB (at most 16)" in Ray(mem_gb=20)._shortage(nodes)
    assert "at most 0" in Ray(gpus=0.5)._shortage([node(CPU=1.0)])


def test_more_than_this_machine_has_is_refused_where_no_node_can_join():
    with pytest.raises(ExecutorError, match=r"has 1 GPUs \(at most 0\); ask for less: --on"):
        Ray(address="local", gpus=1)._shortage([node(CPU=2.0)])


@pytest.mark.slow
def test_tasks_that_no_node_can_run_say_so_in_their_first_event(cluster, tmp_path):
    class LeaveError(Exception):
        pass

    def leave(event):
        assert "no node of the Ray cluster has 4 GPUs (at most 2)" in event.reason
        raise LeaveError

    with Ray(address=cluster.address, gpus=4) as executor:
        with pytest.raises(LeaveError):
            executor.submit([toy("a", "echo")], tmp_path, leave)
        executor.cancel(["a"])


def test_a_fraction_above_one_gpu_is_refused():
    with pytest.raises(SpecError, match="give a whole number, or a share below 1"):
        Ray(gpus=1.5)
