"""Tasks on SLURM: a whole cluster of three nodes on this machine, from Debian's packages."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.executors.slurm_cluster import SlurmCluster, missing
from tests.helpers.small import write_small
from volbench.errors import ExecutorError, SpecError
from volbench.executors import slurm
from volbench.executors.slurm import Slurm
from volbench.testing import ExecutorContract
from volbench.testing.executors import toy

needs_slurm = pytest.mark.skipif(
    bool(missing()), reason=f"not installed: {', '.join(missing())}; apt-get install slurmd"
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    root = tmp_path_factory.mktemp("slurm") / "cluster"
    with pytest.MonkeyPatch.context() as patch, SlurmCluster(root) as cluster:
        patch.setenv("SLURM_CONF", cluster.env["SLURM_CONF"])
        yield cluster


@pytest.mark.slow
@needs_slurm
@pytest.mark.usefixtures("cluster")
class TestSlurm(ExecutorContract):
    spec = "slurm(poll_s=0.5)"


@pytest.mark.slow
@needs_slurm
def test_the_time_limit_warns_and_the_task_goes_on_when_begun_again(cluster, tmp_path):
    kept, events = tmp_path / "kept", []
    executor = Slurm(time_min=1, warning_s=55, poll_s=0.5)
    executor.submit([toy("a", "wait_to_stop", kept=str(kept))], tmp_path, events.append)
    kinds = [event.kind for event in events]
    assert kinds == ["started", "progress", "waiting", "started", "done"], events
    assert dict(events[-1].value) == {"again": True}


@pytest.mark.slow
@needs_slurm
def test_submitting_again_attaches_to_what_runs(cluster, tmp_path):
    tasks = [toy("a", "environment", name="HOME", seconds=12)]
    executor = Slurm(poll_s=0.5)

    class DetachError(Exception):
        pass

    def leave(event):
        raise DetachError

    with pytest.raises(DetachError):
        executor.submit(tasks, tmp_path, leave)
    first = json.loads((tmp_path / "jobs.json").read_text())
    events = []
    Slurm(poll_s=0.5).submit(tasks, tmp_path, events.append)
    assert json.loads((tmp_path / "jobs.json").read_text()) == first
    assert [event.kind for event in events][-1] == "done"


@pytest.mark.slow
@needs_slurm
def test_a_task_that_no_node_can_run_is_told_so_while_it_waits(cluster, tmp_path):
    class LeaveError(Exception):
        pass

    def leave(event):
        assert (event.kind, event.key) == ("waiting", "a")
        assert "back (PartitionConfig); if no node can ever run it, `scancel " in event.reason
        raise LeaveError

    executor = Slurm(cpus=64, poll_s=0.5)
    with pytest.raises(LeaveError):
        executor.submit([toy("a", "echo"), toy("b", "echo")], tmp_path, leave)
    executor.cancel(["a", "b"])


@pytest.mark.slow
@needs_slurm
def test_an_array_runs_no_more_tasks_at_a_time_than_was_asked(cluster, tmp_path):
    times = {}

    def note(event):
        if event.kind in ("started", "done"):
            times[event.key, event.kind] = time.monotonic()

    tasks = [toy(str(n), "environment", name="HOME", seconds=4) for n in range(6)]
    Slurm(array=2, poll_s=0.2).submit(tasks, tmp_path, note)
    spans = [(times[str(n), "started"], times[str(n), "done"]) for n in range(6)]
    at_once = [sum(begun <= moment < ended for begun, ended in spans) for moment, _ in spans]
    assert max(at_once) == 2


@pytest.mark.slow
@needs_slurm
def test_a_node_whose_daemon_dies_leaves_a_zombie_and_each_fold_is_published_once(
    cluster, tmp_path
):
    """SLURM gives the node up and runs its task again, while the first process runs on."""
    data = write_small(tmp_path / "data", cases=24).folder
    out = tmp_path / "runs"
    command = [sys.executable, "-c", "from volbench.cli.main import main; main()", "run"]
    command += ["--encoder", "rmc5(width=2)", "--agg", "bilinear", "--loss", "focal"]
    command += ["--folds", "3", "--set", "training.epochs=150", "--device", "cpu", "--jobs", "2"]
    command += ["--data", str(data), "--out", str(out), "--checkpoint-seconds", "1"]
    there = [*command, "--name", "there", "--on", "slurm(poll_s=0.5)"]
    with subprocess.Popen(there, env=os.environ, stderr=subprocess.PIPE, text=True) as process:
        killer = threading.Thread(target=kill_a_node, args=(cluster, out / "there"), daemon=True)
        killer.start()
        _, said = process.communicate(timeout=280)
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
        assert ended.count("published") == 1, ended


def kill_a_node(cluster, run):
    while len(list(run.glob("attempts/*/0001/progress.json"))) < 3:
        time.sleep(0.1)
    cluster.kill_daemon("n2")
    time.sleep(15)
    cluster.start_node("n2")


def test_without_sbatch_it_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ExecutorError, match="there is no sbatch on this machine; log in to"):
        Slurm().submit([toy("a", "echo")], tmp_path, print)


def test_what_holds_a_job_back_for_good_is_told_once_and_a_queue_is_not(tmp_path, monkeypatch):
    rows = ["1_0 PENDING Resources", "1_1 PENDING BadConstraints", "1_2 PENDING BadConstraints",
            "1_3 PENDING ReqNodeNotAvail, UnavailableNodes:n1"]  # fmt: skip
    done = subprocess.CompletedProcess([], 0, stdout="\n".join(rows), stderr="")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    told = []

    def detach(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", detach)
    with pytest.raises(KeyboardInterrupt):
        Slurm()._follow({key: f"1_{key}" for key in "0123"}, tmp_path, told.append)
    assert [(event.key, event.kind) for event in told] == [("1", "waiting"), ("3", "waiting")]
    assert told[0].reason == (
        "SLURM holds job 1_1 back (BadConstraints); if no node can ever run it, `scancel 1`, "
        "Ctrl-C and ask for something else: `sinfo -o '%P %G %c %m %f'` lists partitions, GPUs, "
        "cores, memory and features"
    )
    assert "(ReqNodeNotAvail, UnavailableNodes:n1)" in told[1].reason


@pytest.mark.parametrize(
    ("lines", "way_out"),
    [
        (
            ["invalid partition specified: gpu", "Batch job submission failed: Invalid partition"],
            "`sinfo -o '%P %G %c %m %f'` lists partitions, GPUs, cores, memory and features",
        ),
        (
            ["Batch job submission failed: Unable to contact slurm controller (connect failure)"],
            "`scontrol ping` says whether the controller answers from this machine",
        ),
    ],
)
def test_what_sbatch_refuses_is_one_line_with_the_way_out(
    lines, way_out, tmp_path, monkeypatch, capfd
):
    pytest.importorskip("submitit")
    sbatch = tmp_path / "sbatch"
    sbatch.write_text("#!/bin/sh\n" + "".join(f"echo 'sbatch: error: {one}' >&2\n" for one in lines)
                      + "exit 1\n")  # fmt: skip
    for name in ("srun", "squeue", "scontrol"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    with pytest.raises(ExecutorError) as refusal:
        Slurm(partition="gpu").submit([toy("a", "echo")], tmp_path / "run", print)
    assert str(refusal.value) == f"sbatch refused the tasks: {'; '.join(lines)}; {way_out}"
    assert capfd.readouterr().err == ""


def test_without_submitit_it_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ExecutorError, match=r"needs submitit; install it: pip install 'volbench"):
        Slurm().submit([toy("a", "echo")], tmp_path, print)


def test_the_script_is_shown_without_a_cluster(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.chdir(tmp_path)
    executor = Slurm(partition="gpu", time_min=240, gpus=1, mem_gb=32, array=40)
    script = executor.describe([toy(str(n), "echo") for n in range(100)], Path("run"))
    assert f" -u -m submitit.core._submit {tmp_path}/run/log\n" in script
    for line in ("--partition=gpu", "--time=240", "--gpus-per-node=1", "--mem=32GB"):
        assert f"#SBATCH {line}\n" in script
    assert "#SBATCH --array=0-99%40\n" in script


def test_more_tasks_than_an_array_may_hold_become_several_that_share_the_limit(
    tmp_path, monkeypatch
):
    pytest.importorskip("submitit")
    scontrol = tmp_path / "scontrol"
    scontrol.write_text("#!/bin/sh\necho 'MaxArraySize            = 401'\n")
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    slurm._largest_array.cache_clear()
    tasks = [toy(str(n), "echo") for n in range(1000)]
    arrays = slurm._arrays(tasks, 60)
    assert [(len(part), at_once) for part, at_once in arrays] == [(400, 20), (400, 20), (200, 20)]
    assert [task for part, _ in arrays for task in part] == tasks
    script = Slurm(array=60).describe(tasks, tmp_path)
    assert "#SBATCH --array=0-399%20\n" in script
    assert script.endswith("# 3 arrays like this one, of 400, 400, 200 tasks\n")
    assert Slurm().describe([], tmp_path) == "nothing to submit: all is done"
    slurm._largest_array.cache_clear()


def test_impossible_values_are_refused():
    with pytest.raises(SpecError, match=r"slurm\(time_min=0\): it must be 1 or more"):
        Slurm(time_min=0)
