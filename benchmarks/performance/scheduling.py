"""Cost of scheduling: folds a second, `status`, reading for `compare`, and the share of lost work.

    python benchmarks/performance/scheduling.py --folds 1000 --nodes 16 --die 0.01 --stall 0.01

Folds are those of real runs of ten folds, with leases, attempts and all files; only the training is
a nap of milliseconds on a simulated node (`volbench.executors.simulated`).

    python benchmarks/performance/scheduling.py --here --folds 100

does the same folds without a nap by `local`, and writes their files alone for comparison.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from resource import RUSAGE_SELF, getrusage
from typing import Any, TypeAlias
from unittest.mock import patch

from volbench.crossval import Plan, dispatch, make_plan
from volbench.crossval.callback import Callback, listener_of
from volbench.crossval.fold_attempt import begin
from volbench.crossval.fold_task import Task, executor_task
from volbench.crossval.on_node import OnNode
from volbench.crossval.open_run import fold_tasks, open_folder
from volbench.crossval.settings import RunSettings
from volbench.executors.local import Local
from volbench.executors.simulated import Fate, Simulated
from volbench.executors.status import fold_states
from volbench.interfaces import Executor, ExecutorTask, TaskContext
from volbench.leaderboard.statistics.compare import compare_runs
from volbench.runs.folder import SPLITS, FoldFolder, FoldResult
from volbench.runs.load import load_run
from volbench.runs.predictions_file import Prediction
from volbench.runs.splits_file import read_splits
from volbench.spec import parse_sum

Function: TypeAlias = Callable[[Mapping[str, Any], Any], dict[str, Any]]

RENEWAL_S = 0.25
DATA = "phantom(patients=40, size=16, slices=3)"


def nap(payload: Mapping[str, Any], context: Fate) -> dict[str, Any]:
    """Do a fold without training: its lease, a nap, its files, its publication."""
    return _fold(payload, context.live)


def no_nap(payload: Mapping[str, Any], context: TaskContext) -> dict[str, Any]:
    """Do a fold without training: its lease, its files, its publication."""
    return _fold(payload, lambda: None)


def _fold(payload: Mapping[str, Any], live: Callable[[], None]) -> dict[str, Any]:
    task = Task.from_json(payload["task"])
    attempt = begin(task.run, task.fold, device="simulated", wait=True, renewal_s=RENEWAL_S)
    if isinstance(attempt, FoldResult):
        return {"status": attempt.status}
    # Not renewed: a task is shorter than a lease lasts, and a stalled node gives no sign of life.
    live()
    _write(task, attempt.files)
    return {"status": attempt.publish().status}


def _write(task: Task, files: FoldFolder) -> None:
    random = Random(f"{task.run.name} {task.fold}")
    rows = [
        Prediction(row.case, row.patient, row.label, task.fold, None, (1 - p, p))
        for row in read_splits(task.run / SPLITS)
        if task.fold in row.folds and (p := random.random()) > 0
    ]
    files.write_success(
        FoldResult(task.fold, "finished", seconds=1.0, parameters=1, selected_epoch=1, auc=0.5),
        rows,
        ("T2", "T3"),
        [{"epoch": 1, "loss": 0.5}],
        b"weights",
    )


def measure_here(folds: int, *, out: Path) -> dict[str, float]:
    """Do folds by `local`, one at a time; then write the same files and nothing else."""
    plan = make_plan(encoder="r2d(width=2)", aggregator="max", loss="focal", data=DATA)
    tasks = [task for number in range(folds // 10) for task in _tasks(plan, out, number)]
    began, cpu = time.perf_counter(), time.process_time()
    with Local() as executor:
        done = _do(tasks, executor, out / "executor", no_nap)
    seconds, busy = time.perf_counter() - began, time.process_time() - cpu
    assert len(done.results) == len(tasks)
    began, cpu = time.perf_counter(), time.process_time()
    for number, task in enumerate(tasks):
        _write(task, FoldFolder(out / "files" / str(number), task.fold))
    alone, alone_busy = time.perf_counter() - began, time.process_time() - cpu
    return {
        "folds": len(tasks),
        "local_ms_per_fold": round(1000 * seconds / len(tasks), 2),
        "local_processor_ms_per_fold": round(1000 * busy / len(tasks), 2),
        "files_alone_ms_per_fold": round(1000 * alone / len(tasks), 2),
        "files_alone_processor_ms_per_fold": round(1000 * alone_busy / len(tasks), 2),
    }


def measure(
    folds: int, *, nodes: int, seconds: float, die: float, stall: float, compared: int, out: Path
) -> dict[str, float]:
    """Run simulated folds; then read their states and results.

    Args:
        folds: How many, ten to a run.
        nodes: Tasks at a time.
        seconds: Length of a task.
        die: Share of attempts in which the node dies.
        stall: Share of attempts in which it falls silent and comes back.
        compared: At most so many runs are compared, each a row: all pairs are tested.
        out: Folder of the runs.
    """
    plan = make_plan(encoder="r2d(width=2)", aggregator="max", loss="focal", data=DATA)
    began = time.perf_counter()
    tasks = [task for number in range(folds // 10) for task in _tasks(plan, out, number)]
    opening = time.perf_counter() - began
    executor = Simulated(nodes=nodes, seconds=seconds, die=die, stall=stall, stall_s=8 * RENEWAL_S)
    began = time.perf_counter()
    done = _do(tasks, executor, out / "executor", nap)
    scheduling = time.perf_counter() - began
    assert len(done.results) == len(tasks)
    assert all(result.status == "finished" for result in done.results.values())
    runs = sorted({task.run for task in tasks})
    began = time.perf_counter()
    states = [state.state for run in runs for state in fold_states(run)]
    status = time.perf_counter() - began
    assert states == ["done"] * len(tasks)
    began = time.perf_counter()
    assert sum(len(load_run(run).predictions) for run in runs) == len(tasks)
    reading = time.perf_counter() - began
    rows = [load_run(run) for run in runs[:compared]]
    began = time.perf_counter()
    compare_runs(rows)
    comparing = time.perf_counter() - began
    return {
        "folds": len(tasks),
        "opening_ms_per_run": round(1000 * opening / len(runs), 2),
        "folds_per_second": round(len(tasks) / scheduling, 1),
        "status_ms_per_fold": round(1000 * status / len(tasks), 3),
        "compare_reading_ms_per_fold": round(1000 * reading / len(tasks), 3),
        "compare_rows": len(rows),
        "compare_seconds": round(comparing, 2),
        "peak_memory_mb": round(getrusage(RUSAGE_SELF).ru_maxrss / 1024),
        "died": executor.counts.died,
        "stalled": executor.counts.stalled,
        "lost_work": round(executor.counts.begun / len(tasks) - 1, 4),
    }


def _tasks(plan: Plan, out: Path, number: int) -> list[Task]:
    loss = parse_sum(f"focal(gamma={number / 1000})")  # as a suite: other components, one split
    own = replace(plan, experiment=replace(plan.experiment, loss=loss))
    folder = open_folder(own, out / f"run{number:05d}", None, jobs=1)
    settings = RunSettings(device="cpu")
    asked = OnNode("cpu", 1, "auto", "auto", "off")
    return fold_tasks(own, folder, own.split.folds, asked, settings)


def _do(tasks: list[Task], executor: Executor, folder: Path, function: Function) -> dispatch.Done:
    """Do tasks by a function of this file instead of training."""

    def described(task: Task, *, wait: bool, alone: bool = False) -> ExecutorTask:
        described = executor_task(task, wait=wait, alone=alone)
        return replace(described, function=f"{__name__}:{function.__name__}")

    with patch.object(dispatch, "executor_task", described):
        return dispatch.do_tasks(tasks, executor, folder, listener_of(Callback()))


def main() -> None:
    """Print what was measured, a line of JSON for each number of folds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folds", type=int, nargs="+", default=[1000])
    parser.add_argument("--nodes", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=0.005)
    parser.add_argument("--die", type=float, default=0.01)
    parser.add_argument("--stall", type=float, default=0.01)
    parser.add_argument("--compared", type=int, default=30)
    parser.add_argument("--here", action="store_true", help="By local, beside files alone.")
    parser.add_argument("--out", type=Path, help="Folder for the runs; default: a temporary one.")
    given = parser.parse_args()
    for folds in given.folds:
        with tempfile.TemporaryDirectory(dir=given.out) as folder:
            if given.here:
                print(json.dumps(measure_here(folds, out=Path(folder))), flush=True)
                continue
            options = {"seconds": given.seconds, "die": given.die, "stall": given.stall}
            found = measure(
                folds,
                nodes=given.nodes,
                compared=given.compared,
                out=Path(folder),
                **options,
            )
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
