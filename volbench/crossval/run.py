"""Run the folds of an experiment: skip finished ones, train the rest, report progress."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from volbench._utils.atomic_io import FolderLock, write_atomic, write_json
from volbench._utils.moved import renamed
from volbench.audit import audit_cached
from volbench.crossval.environment import describe_data, describe_environment
from volbench.crossval.features import store_for_run
from volbench.crossval.plan import Plan
from volbench.crossval.precision_check import check_bfloat16
from volbench.crossval.sharing import share_machine
from volbench.crossval.task import Task
from volbench.crossval.workers import Workers, execute
from volbench.data.cache.features import StoredFeatures
from volbench.data.cache.location import cache_root
from volbench.errors import UsageError
from volbench.runs.folder import AUDIT, FoldResult, RunFolder
from volbench.training.compile import Compile
from volbench.training.fold import CHECKPOINT_SECONDS, EpochReport
from volbench.training.graphs import Graphs

logger = logging.getLogger(__name__)

FEATURES_USED = "features.json"


@dataclass(frozen=True)
class Outcome:
    """A run as it stands afterwards; ``results`` holds the asked folds by number."""

    path: Path
    results: dict[int, FoldResult]

    @property
    def failed(self) -> list[FoldResult]:
        """The folds that failed."""
        return [result for result in self.results.values() if result.status == "failed"]


class Callback:
    """Hears what happens during a run; override what you want to hear."""

    def on_plan(self, plan: Plan, path: Path, done: Sequence[int], asked: Sequence[int]) -> None:
        """The run is about to start; ``done`` folds are finished already."""

    def on_start(self, fold: int) -> None:
        """A fold starts or goes on."""

    def on_epoch(self, report: EpochReport) -> None:
        """An epoch ended."""

    def on_warning(self, text: str) -> None:
        """Something about this machine that whoever runs it should know."""

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
) -> Outcome:
    """Run the folds that are not finished; failed ones are tried again.

    Args:
        plan: What `make_plan` checked.
        out: Folder of runs.
        name: Folder of this run in ``out``; by default it names the components and the experiment.
        folds: Folds to do; all by default.
        device: ``auto``, ``cpu``, ``cuda`` (every GPU that is visible), ``cuda:N`` or several as
            ``cuda:0,2``.
        jobs: Folds at a time; by default one per core on a CPU, and on GPUs as many as memory and
            cores allow and keep them busy.
        checkpoint_seconds: Shortest time between two checkpoints of a fold.
        compiled: Whether encoders are compiled; ``auto`` does it where that pays over all folds.
        graphs: Whether training steps are recorded as CUDA graphs; ``auto`` does it on a GPU.
        profile: Whether each fold keeps where its time went, in profile.json.
        features: ``auto`` computes the tokens of a frozen encoder once, where no augmentation
            changes its images, and trains on them; ``off`` encodes in every epoch. The predictions
            are the same.
        callback: Hears the progress.
        workers: Processes that outlive this run; by default it starts its own and ends them.

    Raises:
        StateError: the folder holds another experiment, or was damaged.
        StorageError: another process runs it, or nothing can be written.
        UsageError: the device is not there, or has no compiler.
    """
    callback = callback or Callback()
    asked = _asked(plan, folds)
    sharing = share_machine(plan, device=device, jobs=jobs, compiled=compiled, graphs=graphs)
    compute, jobs = sharing.compute, sharing.jobs
    folder = RunFolder(out / (name or plan.experiment.name))
    with FolderLock(folder.path):
        folder.open(
            plan.experiment,
            plan.split,
            describe_data(plan.prepared),
            describe_environment(compute, jobs=jobs),
        )
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
        if len(results) < len(asked):
            compute, faults = check_bfloat16(plan, compute)
            for fault in faults:
                callback.on_warning(fault)
        stored: StoredFeatures | None = None
        if len(results) < len(asked) and features == "auto" and not profile:
            first = replace(compute, device=sharing.device(0))
            stored, reason = store_for_run(
                plan.experiment, plan.prepared, first, on_case=callback.on_features
            )
            if reason is not None:
                callback.on_warning(reason)
        tasks = [
            Task(
                experiment=plan.experiment,
                prepared=plan.prepared.folder,
                run=folder.path,
                fold=fold,
                part=plan.part(fold),
                compute=replace(compute, device=sharing.device(number)),
                checkpoint_seconds=checkpoint_seconds,
                profile=profile,
                features=None if stored is None else stored.folder,
            )
            for number, fold in enumerate(fold for fold in asked if fold not in results)
        ]
        for note in plan.notes if tasks else ():
            callback.on_warning(note)
        if stored is not None:
            write_json(folder.path / FEATURES_USED, _used(stored))
        for result in execute(
            tasks,
            jobs=jobs,
            on_start=callback.on_start,
            on_epoch=_warning_once(callback),
            workers=workers,
        ):
            results[result.fold] = result
            callback.on_end(result)
        if len(_finished(folder, plan.split.folds)) == len(plan.split.folds):
            _audit(plan, folder, callback)
    return Outcome(folder.path, dict(sorted(results.items())))


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
    path = folder.path / AUDIT
    if path.is_file():
        return
    callback.on_audit()
    found = audit_cached(plan.prepared, plan.split, cache=cache_root())
    write_atomic(path, found.to_csv())


def _asked(plan: Plan, folds: Sequence[int] | None) -> tuple[int, ...]:
    known = plan.split.folds
    if folds is None:
        return known
    if unknown := sorted(set(folds) - set(known)):
        raise UsageError(f"--fold {unknown[0]}: the folds are numbered {known[0]} to {known[-1]}")
    return tuple(sorted(set(folds)))


def _finished(folder: RunFolder, asked: Sequence[int]) -> dict[int, FoldResult]:
    finished = {}
    for fold in asked:
        result = folder.fold(fold).result()
        if result is not None and result.status == "finished":
            folder.fold(fold).verify(result)
            finished[fold] = result
    return finished


__getattr__ = renamed(__name__, {"Watcher": "Callback"})
