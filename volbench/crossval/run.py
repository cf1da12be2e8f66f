"""Run the folds of an experiment: skip finished ones, train the rest, report progress."""

import logging
import math
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from volbench._utils.atomic_io import FolderLock, write_json
from volbench._utils.moved import renamed
from volbench.audit import audit_cached
from volbench.crossval.attempt import finished
from volbench.crossval.dispatch import Listener, do_tasks
from volbench.crossval.environment import describe_data, describe_environment
from volbench.crossval.features import store_for_run
from volbench.crossval.plan import Plan
from volbench.crossval.precision_check import check_bfloat16
from volbench.crossval.sharing import Sharing, share_machine
from volbench.crossval.tabular import TabularRuns
from volbench.crossval.task import Task, executor_task
from volbench.data.cache.features import StoredFeatures
from volbench.data.cache.location import cache_root
from volbench.errors import UsageError
from volbench.executors.local import Local
from volbench.executors.pool import Workers
from volbench.interfaces import Executor, ExecutorTask
from volbench.runs.folder import AUDIT, FoldResult, RunFolder
from volbench.training.compile import Compile
from volbench.training.compute import Compute, Precision
from volbench.training.fold import CHECKPOINT_SECONDS, EpochReport
from volbench.training.graphs import Graphs

logger = logging.getLogger(__name__)

FEATURES_USED = "features.json"

EXECUTOR = "executor"
"""Folder of a run in which an executor keeps logs, and what it needs to attach again."""

OPENING_S = 60.0
"""So long does a process wait for another one that makes the run's folder at the same moment."""


@dataclass(frozen=True)
class Outcome:
    """A run as it stands afterwards.

    Attributes:
        path: Its folder.
        results: The asked folds by number.
        tabular: Where clinical columns were asked for: the columns alone, and with the network.
    """

    path: Path
    results: dict[int, FoldResult]
    tabular: "tuple[Outcome, ...]" = ()

    @property
    def failed(self) -> list[FoldResult]:
        """The folds that failed."""
        return [result for result in self.results.values() if result.status == "failed"]


class Callback:
    """Hooks of a run; override those you need."""

    def on_plan(self, plan: Plan, path: Path, done: Sequence[int], asked: Sequence[int]) -> None:
        """The run is about to start; ``done`` folds are finished already."""

    def on_start(self, fold: int) -> None:
        """A fold starts or goes on."""

    def on_epoch(self, report: EpochReport) -> None:
        """An epoch ended."""

    def on_wait(self, fold: int, reason: str) -> None:
        """A fold is not trained at the moment: it is queued, elsewhere, or tried again."""

    def on_warning(self, text: str) -> None:
        """A remark for the user on this machine."""

    def on_features(self, done: int, total: int) -> None:
        """So many cases are encoded by a frozen encoder, before the folds start."""

    def on_end(self, result: FoldResult) -> None:
        """A fold ended; its files are written."""

    def on_audit(self) -> None:
        """All folds are finished; the data are audited for shortcuts, once for all their runs."""


def run(
    plan: Plan,
    *,
    out: Path = Path("runs"),
    name: str | None = None,
    folds: Sequence[int] | None = None,
    device: str = "auto",
    jobs: int | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    compiled: Compile = "auto",
    graphs: Graphs = "auto",
    profile: bool = False,
    features: Literal["auto", "off"] = "auto",
    callback: Callback | None = None,
    workers: Workers | None = None,
    executor: Executor | None = None,
) -> Outcome:
    """Run the folds that are not finished; failed ones are tried again.

    Several processes may do this at once, on machines that share the folder: each fold is trained
    by one of them, and taken over by another if that one falls silent.

    Args:
        plan: What `make_plan` checked.
        out: Folder of runs.
        name: Folder of this run in ``out``; by default it names the components and the experiment.
        folds: Folds to do; all by default.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        jobs: Folds at a time; by default one per core on a CPU, one on a GPU.
        checkpoint_seconds: Shortest time between two checkpoints of a fold.
        compiled: Whether encoders are compiled; ``auto`` does not, as it was never faster.
        graphs: Whether training steps are recorded as CUDA graphs; ``auto`` does it on a GPU.
        profile: Whether each fold keeps where its time went, in profile.json.
        features: ``auto`` computes the tokens of a frozen encoder once, where no augmentation
            changes its images, and trains on them; ``off`` encodes in every epoch. The predictions
            are the same.
        callback: Called on progress.
        workers: Processes that outlive this run; by default it starts its own and ends them.
        executor: Where the folds are trained; by default processes of this machine.

    Raises:
        ExecutorError: the executor cannot be reached.
        PreemptedError: it was asked to stop; the same call resumes.
        StateError: the folder holds another experiment, or was damaged.
        StorageError: nothing can be written.
        UsageError: the device is not there, or has no compiler.
    """
    callback = callback or Callback()
    asked = _asked(plan, folds)
    with ExitStack() as stack:
        sharing = _share(plan, executor, device, jobs, compiled, graphs)
        compute, jobs = sharing.compute, sharing.jobs
        if executor is None:
            executor = stack.enter_context(_here(sharing, workers))
        folder = open_run(plan, out, name, compute, jobs=jobs)
        results = _finished(folder, asked)
        logger.info(
            "run %s: %d of %d folds finished; device %s, precision %s, %d jobs of %d threads%s",
            folder.path,
            len(results),
            len(asked),
            compute.device,
            compute.precision,
            jobs,
            compute.threads,
            ", compiled" if compute.compiled else "",
        )
        callback.on_plan(plan, folder.path, sorted(results), asked)
        left = [fold for fold in asked if fold not in results]
        if left and executor.gpus == 0:
            compute, faults = check_bfloat16(plan, compute)
            for fault in faults:
                callback.on_warning(fault)
        stored: StoredFeatures | None = None
        if left and features == "auto" and not profile and executor.gpus == 0:
            stored, reason = store_for_run(
                plan.experiment,
                plan.prepared,
                replace(compute, device=sharing.device(0)),
                on_case=callback.on_features,
            )
            if reason is not None:
                callback.on_warning(reason)
        tasks = fold_tasks(
            plan,
            folder,
            left,
            compute,
            checkpoint_seconds,
            profile=profile,
            features=None if stored is None else stored.folder,
        )
        for note in plan.notes if tasks else ():
            callback.on_warning(note)
        if stored is not None:
            write_json(folder.path / FEATURES_USED, _used(stored))
        done = do_tasks(tasks, executor, folder.path / EXECUTOR, _listener(callback))
        results |= {result.fold: result for result in done.values()}
        if len(_finished(folder, plan.split.folds)) == len(plan.split.folds):
            _audit(plan, folder, callback)
        beside = _with_columns(plan, folder, compute, jobs, callback)
    return Outcome(folder.path, dict(sorted(results.items())), beside)


def open_run(plan: Plan, out: Path, name: str | None, compute: Compute, *, jobs: int) -> RunFolder:
    """Start the folder of a run, or open the one that is there.

    Raises:
        StateError: the folder holds another experiment, or was damaged.
        StorageError: it cannot be written.
    """
    folder = RunFolder(out / (name or plan.experiment.name))
    with FolderLock(folder.path, wait_s=OPENING_S):
        folder.open(
            plan.experiment,
            plan.split,
            describe_data(plan.prepared),
            describe_environment(compute, jobs=jobs),
        )
    return folder


def fold_tasks(
    plan: Plan,
    folder: RunFolder,
    folds: Sequence[int],
    compute: Compute,
    checkpoint_seconds: float,
    *,
    profile: bool = False,
    features: Path | None = None,
) -> list[Task]:
    """Folds of a run as tasks that any process can do."""
    return [
        Task(
            experiment=plan.experiment,
            prepared=plan.prepared.folder,
            run=folder.path,
            fold=fold,
            part=plan.part(fold),
            compute=compute,
            checkpoint_seconds=checkpoint_seconds,
            profile=profile,
            features=features,
        )
        for fold in folds
    ]


def _with_columns(
    plan: Plan, image: RunFolder, compute: Compute, jobs: int, callback: Callback
) -> tuple[Outcome, ...]:
    """Fit clinical columns, alone and with the network, on the folds that are finished."""
    if plan.tabular is None:
        return ()
    parts = {fold: plan.part(fold) for fold in plan.split.folds}
    runs = TabularRuns(plan.experiment, plan.tabular, plan.prepared, parts)
    alone, fused = (
        open_run(replace(plan, experiment=each), image.path.parent, name, compute, jobs=jobs)
        for each, name in zip((runs.alone, runs.fused), runs.names(image.path), strict=True)
    )
    found = (
        Outcome(alone.path, runs.fit_alone(alone, compute)),
        Outcome(fused.path, runs.fit_fused(fused, image.path)),
    )
    for folder in (alone, fused):
        if len(_finished(folder, plan.split.folds)) == len(plan.split.folds):
            _audit(plan, folder, callback)
    return found


def describe_tasks(
    plan: Plan, path: Path, folds: Sequence[int] | None, executor: Executor
) -> list[ExecutorTask]:
    """The tasks that `run` would submit, for a folder of which nothing is made."""
    compute = _share(plan, executor, "auto", None, "auto", "auto").compute
    tasks = fold_tasks(plan, RunFolder(path), _asked(plan, folds), compute, CHECKPOINT_SECONDS)
    return [executor_task(task, wait=executor.restarts) for task in tasks]


def _here(sharing: Sharing, workers: Workers | None) -> Local:
    """Processes of this machine; where there are several GPUs, each is pinned to one."""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = [seen.split(",")[gpu] if seen else str(gpu) for gpu in sharing.gpus]
    local = Local(jobs=sharing.jobs, gpus=tuple(names) if len(names) > 1 else ())
    return local if workers is None else local.sharing(workers)


def _listener(callback: Callback) -> Listener:
    on_epoch = _warning_once(callback)
    return Listener(
        on_start=lambda task: callback.on_start(task.fold),
        on_epoch=lambda task, report: on_epoch(report),
        on_end=lambda task, result: callback.on_end(result),
        on_wait=lambda task, reason: callback.on_wait(task.fold, reason),
    )


def _warning_once(callback: Callback) -> Callable[[EpochReport], None]:
    """Pass reports on; what a fold warns of is told once, however many folds warn of it."""
    told: set[str] = set()

    def on_epoch(report: EpochReport) -> None:
        if report.warning is not None and report.warning not in told:
            told.add(report.warning)
            callback.on_warning(report.warning)
        callback.on_epoch(report)

    return on_epoch


def _used(stored: StoredFeatures) -> dict[str, object]:
    """What features.json holds: which tokens a run was trained on, and what computing them took."""
    tokens, length = stored.tokens.shape
    return {
        "key": stored.folder.name,
        "tokens": tokens,
        "features": length,
        "seconds": stored.seconds,
    }


def _audit(plan: Plan, folder: RunFolder, callback: Callback) -> None:
    """Keep beside the run what its labels give away without the image, on the same folds."""
    if folder.keeps(AUDIT):
        return
    callback.on_audit()
    found = audit_cached(plan.prepared, plan.split, cache=cache_root())
    folder.add(AUDIT, found.to_csv())


def _asked(plan: Plan, folds: Sequence[int] | None) -> tuple[int, ...]:
    known = plan.split.folds
    if folds is None:
        return known
    if unknown := sorted(set(folds) - set(known)):
        raise UsageError(f"--fold {unknown[0]}: the folds are numbered {known[0]} to {known[-1]}")
    return tuple(sorted(set(folds)))


def _share(
    plan: Plan,
    executor: Executor | None,
    device: str,
    jobs: int | None,
    compiled: Compile,
    graphs: Graphs,
) -> Sharing:
    """What the folds compute with; other machines cannot be asked, and all folds do alike."""
    if isinstance(executor, Local):
        jobs = len(executor.devices)
    elif executor is not None and executor.gpus and device == "auto":
        precision = plan.experiment.precision
        resolved: Precision = "float32" if precision == "float32" else "bfloat16"
        compute = Compute("cuda", resolved, math.ceil(executor.gpus), compiled == "on")
        return Sharing(compute, jobs or 1)
    sharing = share_machine(plan, device=device, jobs=jobs, compiled=compiled, graphs=graphs)
    if len(sharing.gpus) < 2:
        return sharing
    # Each process sees one GPU only, so a fold can go on from its checkpoint on any of them.
    return replace(sharing, compute=replace(sharing.compute, device="cuda"))


def _finished(folder: RunFolder, asked: Sequence[int]) -> dict[int, FoldResult]:
    results = {fold: finished(folder.fold(fold)) for fold in asked}
    return {fold: result for fold, result in results.items() if result is not None}


__getattr__ = renamed(__name__, {"Watcher": "Callback"})
