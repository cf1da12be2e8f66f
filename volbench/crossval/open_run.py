"""A run whose folder is open: what is finished, what is left as tasks, how it is closed."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread

from volbench._utils.atomic_io import FolderLock
from volbench._utils.cache_location import cache_root
from volbench._utils.text import plural
from volbench.crossval.callback import Callback
from volbench.crossval.environment import describe_data, describe_environment
from volbench.crossval.features import store_for_run
from volbench.crossval.fold_attempt import finished
from volbench.crossval.fold_task import Task, executor_task, task_key
from volbench.crossval.machine_sharing import Sharing, share_machine
from volbench.crossval.on_node import OnNode
from volbench.crossval.plan import Plan
from volbench.crossval.precision_check import check_bfloat16
from volbench.crossval.settings import RunSettings
from volbench.data.cache.features import StoredFeatures
from volbench.data.cache.packed_voxels import Prepared, open_prepared
from volbench.errors import UsageError
from volbench.executors.local import Local
from volbench.executors.pool import Workers
from volbench.interfaces import Executor, ExecutorTask
from volbench.runs.features_used import record_features_used, seal_features_used
from volbench.runs.folder import AUDIT, FoldResult, RunFolder
from volbench.training.device_and_precision import Compute, choose_compute

logger = logging.getLogger(__name__)

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

    def __repr__(self) -> str:
        failed = f", {len(self.failed)} failed" if self.failed else ""
        finished = len(self.results) - len(self.failed)
        return f"<run {str(self.path)!r}: {plural(finished, 'fold')} finished{failed}>"

    @property
    def failed(self) -> list[FoldResult]:
        """The folds that failed."""
        return [result for result in self.results.values() if result.status == "failed"]


@dataclass(frozen=True)
class OpenedRun:
    """A run that is about to be trained.

    Attributes:
        results: Folds that were finished before, by number.
        compute: How its folds compute here; None where other machines decide.
        jobs: Folds at a time.
        tasks: Folds that are left to do.
    """

    plan: Plan
    folder: RunFolder
    compute: Compute | None
    jobs: int
    results: dict[int, FoldResult]
    tasks: Sequence[Task]
    callback: Callback

    def close(self, done: Mapping[str, FoldResult]) -> Outcome:
        """Take what became of the tasks, by `task_key`; audit the data once all is finished."""
        ended = {task.fold: done[key] for task in self.tasks if (key := task_key(task)) in done}
        results = self.results | ended
        seal_features_used(self.folder.path)  # another machine may have written it
        known = {fold for fold, result in results.items() if result.status == "finished"}
        others = [fold for fold in self.plan.split.folds if fold not in known]
        if len(_finished(self.folder, others)) == len(others):
            self._audit(self.folder)
        beside = self._with_columns()
        return Outcome(self.folder.path, dict(sorted(results.items())), beside)

    @contextmanager
    def auditing(self) -> Iterator[None]:
        """Audit the data while other processes train the last folds on a GPU, and cores idle.

        What goes wrong is tried again, and told, once the folds are finished.
        """
        elsewhere = self.jobs > 1 and self.compute is not None and self.compute.device != "cpu"
        last = {*self.results, *(task.fold for task in self.tasks)} >= {*self.plan.split.folds}
        if not (elsewhere and last and self.tasks) or self.folder.keeps(AUDIT):
            yield
            return
        thread = Thread(target=self._audit_ahead, daemon=True, name="audit")
        thread.start()
        yield
        thread.join()

    def _audit_ahead(self) -> None:
        from volbench.audit import audit_cached  # scikit-learn

        try:
            audit_cached(self.plan.prepared, self.plan.split, cache=cache_root())
        except Exception:
            logger.debug("auditing while folds are trained failed", exc_info=True)

    def _with_columns(self) -> tuple[Outcome, ...]:
        """Fit clinical columns here, alone and with the network, on the finished folds."""
        plan = self.plan
        if plan.tabular is None:
            return ()
        compute = self.compute or choose_compute("cpu", "float32", jobs=1)
        parts = {fold: plan.part(fold) for fold in plan.split.folds}
        from volbench.crossval.tabular import TabularRuns  # scikit-learn

        runs = TabularRuns(plan.experiment, plan.tabular, plan.prepared, parts)
        places = zip((runs.alone, runs.fused), runs.names(self.folder.path), strict=True)
        alone, fused = (
            open_folder(
                replace(plan, experiment=experiment),
                self.folder.path.parent / name,
                compute,
                jobs=self.jobs,
            )
            for experiment, name in places
        )
        found = (
            Outcome(alone.path, runs.fit_alone(alone, compute)),
            Outcome(fused.path, runs.fit_fused(fused, self.folder.path)),
        )
        for folder in (alone, fused):
            if len(_finished(folder, plan.split.folds)) == len(plan.split.folds):
                self._audit(folder, tell=not self.folder.keeps(AUDIT))
        return found

    def _audit(self, folder: RunFolder, *, tell: bool = True) -> None:
        """Keep beside a run what its labels give away without the image, on the same folds."""
        if folder.keeps(AUDIT):
            return
        if tell:  # it is computed once for all runs on the same folds
            self.callback.on_audit()
        from volbench.audit import audit_cached  # scikit-learn

        found = audit_cached(self.plan.prepared, self.plan.split, cache=cache_root())
        folder.add(AUDIT, found.to_csv())


def open_here(
    plan: Plan,
    path: Path,
    asked: Sequence[int],
    settings: RunSettings,
    sharing: Sharing,
    callback: Callback,
) -> OpenedRun:
    """Open a run whose folds are trained on this machine."""
    compute = sharing.compute
    folder, results, left = _open(plan, path, asked, compute, sharing.jobs, callback)
    stored: StoredFeatures | None = None
    if left:
        compute, faults = check_bfloat16(plan.experiment, plan.prepared, compute)
        for fault in faults:
            callback.on_warning(fault)
        if settings.features == "auto" and not settings.profile:
            stored, reason = store_for_run(
                plan.experiment,
                _images(plan),
                replace(compute, device=sharing.device(0)),
                on_case=callback.on_features,
            )
            if reason is not None:
                callback.on_warning(reason)
    if stored is not None:
        if note := record_features_used(folder.path, stored.facts):
            callback.on_warning(note)
        seal_features_used(folder.path)
    tasks = fold_tasks(
        plan, folder, left, compute, settings, features=None if stored is None else stored.folder
    )
    return _opened(plan, folder, compute, sharing.jobs, results, tasks, callback)


def open_elsewhere(
    plan: Plan,
    path: Path,
    asked: Sequence[int],
    settings: RunSettings,
    executor: Executor,
    callback: Callback,
) -> OpenedRun:
    """Open a run whose folds are trained on other machines, which decide what only they can."""
    jobs = settings.jobs or 1
    folder, results, left = _open(plan, path, asked, None, jobs, callback)
    tasks = fold_tasks(plan, folder, left, OnNode.of(settings, executor), settings)
    return _opened(plan, folder, None, jobs, results, tasks, callback)


def open_run(
    plan: Plan,
    path: Path,
    asked: Sequence[int],
    settings: RunSettings,
    executor: Executor,
    callback: Callback,
) -> OpenedRun:
    """Open a run for an executor, of this machine or of others."""
    if isinstance(executor, Local):
        sharing = share(plan, replace(settings, jobs=len(executor.devices)))
        return open_here(plan, path, asked, settings, sharing, callback)
    return open_elsewhere(plan, path, asked, settings, executor, callback)


def describe_tasks(
    plan: Plan, path: Path, asked: Sequence[int], settings: RunSettings, executor: Executor
) -> list[ExecutorTask]:
    """The tasks that would be submitted, for a folder of which nothing is made."""
    compute: Compute | OnNode = OnNode.of(settings, executor)
    if isinstance(executor, Local):
        compute = share(plan, replace(settings, jobs=len(executor.devices))).compute
    folder = RunFolder(path)
    left = asked
    if (path / "experiment.json").is_file():
        done = folder.results()
        left = [fold for fold in asked if fold not in done or done[fold].status == "failed"]
    tasks = fold_tasks(plan, folder, left, compute, settings)
    return [executor_task(task, wait=executor.restarts) for task in tasks]


def fold_tasks(
    plan: Plan,
    folder: RunFolder,
    folds: Sequence[int],
    compute: Compute | OnNode,
    settings: RunSettings,
    *,
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
            checkpoint_seconds=settings.checkpoint_seconds,
            profile=settings.profile,
            features=features,
            local_copy=settings.local_copy,
        )
        for fold in folds
    ]


def share(plan: Plan, settings: RunSettings, *, tasks: int | None = None) -> Sharing:
    """What trainings compute with on this machine; see `share_machine`."""
    sharing = share_machine(
        plan,
        device=settings.device,
        jobs=settings.jobs,
        compiled=settings.compiled,
        graphs=settings.graphs,
        tasks=tasks,
    )
    if len(sharing.gpus) < 2:
        return sharing
    # Each process sees one GPU only, so a fold can go on from its checkpoint on any of them.
    return replace(sharing, compute=replace(sharing.compute, device="cuda"))


def local_executor(sharing: Sharing, workers: Workers | None) -> Local:
    """Processes of this machine; where there are several GPUs, each is pinned to one."""
    local = Local(jobs=sharing.jobs, gpus=sharing.pinned)
    if sharing.may_grow:
        local = local.apart()
    return local if workers is None else local.sharing(workers)


def asked_folds(plan: Plan, folds: Sequence[int] | None) -> tuple[int, ...]:
    """The folds to do, in order.

    Raises:
        UsageError: there is no such fold.
    """
    known = plan.split.folds
    if folds is None:
        return known
    if unknown := sorted(set(folds) - set(known)):
        raise UsageError(f"--fold {unknown[0]}: the folds are numbered {known[0]} to {known[-1]}")
    return tuple(sorted(set(folds)))


def open_folder(plan: Plan, path: Path, compute: Compute | None, *, jobs: int) -> RunFolder:
    """Start the folder of a run, or open the one that is there.

    Raises:
        StateError: the folder holds another experiment, or was damaged.
        StorageError: it cannot be written.
    """
    folder = RunFolder(path)
    with FolderLock(folder.path, wait_s=OPENING_S, required=False):
        folder.open(
            plan.experiment,
            plan.split,
            describe_data(plan.prepared, plan.duplicates),
            describe_environment(compute, jobs=jobs),
        )
    return folder


def _open(
    plan: Plan,
    path: Path,
    asked: Sequence[int],
    compute: Compute | None,
    jobs: int,
    callback: Callback,
) -> tuple[RunFolder, dict[int, FoldResult], list[int]]:
    """Open the folder; its finished folds, and those that are left to do."""
    folder = open_folder(plan, path, compute, jobs=jobs)
    results = _finished(folder, asked)
    how = f"{compute}, {jobs} jobs" if compute else "decided where each fold runs"
    logger.info("run %s: %d of %d folds finished; %s", path, len(results), len(asked), how)
    callback.on_plan(plan, folder.path, sorted(results), asked)
    return folder, results, [fold for fold in asked if fold not in results]


def _images(plan: Plan) -> Prepared:
    """The data as they were prepared: tokens are the same whatever the labels."""
    return open_prepared(plan.prepared.folder) if plan.experiment.permuted else plan.prepared


def _opened(
    plan: Plan,
    folder: RunFolder,
    compute: Compute | None,
    jobs: int,
    results: dict[int, FoldResult],
    tasks: Sequence[Task],
    callback: Callback,
) -> OpenedRun:
    for note in plan.notes if tasks else ():
        callback.on_warning(note)
    return OpenedRun(plan, folder, compute, jobs, results, tasks, callback)


def _finished(folder: RunFolder, asked: Sequence[int]) -> dict[int, FoldResult]:
    results = {fold: finished(folder.fold(fold)) for fold in asked}
    return {fold: result for fold, result in results.items() if result is not None}
