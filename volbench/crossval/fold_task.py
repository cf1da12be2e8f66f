"""One fold as a task: train, score, publish."""

import logging
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from volbench._utils.out_of_memory import is_out_of_memory
from volbench._utils.process_end import hard_exits_raise
from volbench.crossval.fold_attempt import FoldAttempt, begin
from volbench.crossval.fold_files import write_result
from volbench.crossval.on_node import OnNode, decide
from volbench.data.cache.features import StoredFeatures, open_features
from volbench.data.cache.local_copy import copy_here
from volbench.data.cache.packed_voxels import Prepared, is_prepared, open_prepared
from volbench.errors import (
    OutOfMemoryError,
    PreemptedError,
    StateError,
    StorageError,
    TrainingError,
    VolbenchError,
)
from volbench.experiment.experiment import Experiment, experiment_from_json, experiment_json
from volbench.experiment.permuted_labels import permute_labels
from volbench.experiment.splits import FoldPartition
from volbench.interfaces import ExecutorTask, TaskContext
from volbench.runs.features_used import record_features_used
from volbench.runs.folder import FoldResult
from volbench.training.component_check import component_at_fault, third_party
from volbench.training.device_and_precision import Compute
from volbench.training.fold import FoldTrainer
from volbench.training.fold_reports import EpochReport, StepReport
from volbench.training.loss_terms import NotFiniteError
from volbench.training.memory import give_back_to_gpu

logger = logging.getLogger(__name__)

SIGNALLED = {130, 143}
"""Exit codes of a process that was interrupted or terminated."""

STEP = "step"
"""Key of a progress report that is a `StepReport`; others are `EpochReport`."""


@dataclass(frozen=True)
class Task:
    """Everything a process needs to do one fold.

    Attributes:
        compute: How to compute; or what was asked for, where the machine that does it decides.
        features: Folder of stored tokens to train on.
        local_copy: Folder of the machine's own disk that the prepared data are copied to.
    """

    experiment: Experiment
    prepared: Path
    run: Path
    fold: int
    part: FoldPartition
    compute: Compute | OnNode
    checkpoint_seconds: float
    profile: bool = False
    features: Path | None = None
    local_copy: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data, for a process on any machine that sees the same folders."""
        return {
            "experiment": experiment_json(self.experiment),
            "prepared": str(self.prepared.resolve()),
            "run": str(self.run.resolve()),
            "fold": self.fold,
            "part": dict(vars(self.part)),  # not copied: thousands of tasks share it
            **self._how(),
            "checkpoint_seconds": self.checkpoint_seconds,
            "profile": self.profile,
            "features": None if self.features is None else str(self.features.resolve()),
            "local_copy": None if self.local_copy is None else str(self.local_copy),
        }

    def _how(self) -> dict[str, Any]:
        if isinstance(self.compute, OnNode):
            return {"on_node": self.compute.to_json()}
        return {"compute": asdict(self.compute)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Task":
        """The task that `to_json` wrote."""
        return cls(
            experiment=experiment_from_json(values["experiment"]),
            prepared=Path(values["prepared"]),
            run=Path(values["run"]),
            fold=values["fold"],
            part=FoldPartition(**{key: tuple(cases) for key, cases in values["part"].items()}),
            compute=(
                OnNode.from_json(values["on_node"])
                if "on_node" in values
                else Compute(**_as_tuples(values["compute"]))
            ),
            checkpoint_seconds=values["checkpoint_seconds"],
            profile=values["profile"],
            features=None if values["features"] is None else Path(values["features"]),
            local_copy=Path(there) if (there := values.get("local_copy")) else None,
        )


def do_task(
    task: Task,
    on_epoch: Callable[[EpochReport], None],
    *,
    on_step: Callable[[StepReport], None] = lambda report: None,
    should_stop: Callable[[], bool] = lambda: False,
    wait: bool = True,
) -> FoldResult:
    """Train and publish a fold; a failure is recorded with its reason and returned.

    Args:
        task: The fold.
        on_epoch: Called after every epoch.
        on_step: Called within epochs that take long.
        should_stop: Whether to keep a checkpoint after this epoch and stop.
        wait: Whether to wait for another process that is at the fold.

    Raises:
        LeaseHeldError: another process is at the fold.
        LeaseLostError: another process has taken over.
        OutOfMemoryError: there was too little memory; nothing is recorded.
        PreemptedError: it was to stop, and kept a checkpoint.
        StorageError: nothing can be recorded, as when the disk is full.
    """
    require_visible(task)
    compute = _resolved(task)
    attempt = begin(task.run, task.fold, device=compute.device, wait=wait)
    if isinstance(attempt, FoldResult):
        return attempt
    try:
        with attempt.working():
            return _train_and_publish(task, compute, attempt, on_epoch, on_step, should_stop)
    finally:
        give_back_to_gpu(torch.device(compute.device), cycles=True)


def _train_and_publish(
    task: Task,
    compute: Compute,
    attempt: FoldAttempt,
    on_epoch: Callable[[EpochReport], None],
    on_step: Callable[[StepReport], None],
    should_stop: Callable[[], bool],
) -> FoldResult:
    try:
        prepared, notes = _data(task)
        compute, features, more = _decided(task, prepared, compute)
        notes = (*notes, *more)
        if task.experiment.permuted:
            prepared = permute_labels(prepared, task.experiment.seed)
        for note in notes:
            attempt.log(note)

        def after_epoch(report: EpochReport) -> None:
            attempt.on_epoch(report)
            if notes and report.warning is None:
                report = replace(report, warning="; ".join(notes))
            on_epoch(report)

        trainer = FoldTrainer(
            task.experiment,
            prepared,
            task.part,
            task.fold,
            compute,
            checkpoint=attempt.checkpoint,
            on_epoch=after_epoch,
            on_step=on_step,
            checkpoint_seconds=task.checkpoint_seconds,
            profile=task.profile,
            should_stop=should_stop,
            features=features,
        )
        with _ending_forbidden():
            trained = trainer.run()
    except (StorageError, PreemptedError):
        raise
    except NotFiniteError as error:
        return attempt.fail(_blame(error, trainer), error)
    except Exception as error:
        reason = _reason(error)
        if is_out_of_memory(error):
            attempt.log(f"out of memory: {reason}")
            raise OutOfMemoryError(reason) from error
        return attempt.fail(reason, error)
    write_result(attempt.files, task.fold, compute, prepared, trained)
    result = attempt.publish()
    logger.info("fold %d: finished in %.1f s", task.fold, result.seconds or 0.0)
    return result


def _blame(error: NotFiniteError, trainer: FoldTrainer) -> str:
    """Say what is behind a number that is none: a component, or steps that are too large."""
    if fault := component_at_fault(trainer, error.epoch):
        return f"{_reason(error).partition(';')[0]}: {fault}"
    if others := third_party(trainer):
        return f"{_reason(error)}; if neither helps, look into {' and '.join(others)}"
    return _reason(error)


def require_visible(task: Task) -> None:
    """Refuse a task whose folders this machine cannot see, before anything is made there.

    Raises:
        StateError: the run's folder or the prepared data are on another machine's disk.
    """
    require_run(task.run)
    require_prepared(task.prepared)


def require_run(folder: Path) -> None:
    """Refuse a run's folder that this machine cannot see.

    Raises:
        StateError: it is on another machine's disk.
    """
    if not (folder / "experiment.json").is_file():
        raise StateError(
            f"{socket.gethostname()} cannot see the run's folder {folder}; give --out on a disk "
            "that all machines share"
        )


def require_prepared(folder: Path) -> Path:
    """Refuse prepared data that this machine cannot see; return their folder.

    Raises:
        StateError: they are on another machine's disk.
    """
    if not is_prepared(folder):
        raise StateError(
            f"{socket.gethostname()} cannot see the prepared data {folder}; prepare them on a disk "
            "that all machines share, which VOLBENCH_CACHE names"
        )
    return folder


def _resolved(task: Task) -> Compute:
    if isinstance(task.compute, OnNode):
        return task.compute.choose(task.experiment.precision)
    return task.compute


def _data(task: Task) -> tuple[Prepared, tuple[str, ...]]:
    """The prepared data, from this machine's own disk if asked for, and what to know of that."""
    if task.local_copy is None:
        return _open(task.prepared), ()
    folder, why_not = copy_here(task.prepared, task.local_copy)
    return _open(folder), (why_not,) if why_not else ()


def _decided(
    task: Task, prepared: Prepared, compute: Compute
) -> tuple[Compute, StoredFeatures | None, tuple[str, ...]]:
    if isinstance(task.compute, OnNode):
        chosen, stored, notes = decide(
            task.experiment, prepared, compute, features=task.compute.features
        )
        if stored is not None and (note := record_features_used(task.run, stored.facts)):
            notes = (*notes, note)
        return chosen, stored, notes
    features = None if task.features is None else _open_features(task.features, prepared)
    return compute, features, ()


def train_fold(payload: Mapping[str, Any], context: TaskContext) -> dict[str, Any]:
    """Do a fold for an executor: the function that its task names."""
    task = Task.from_json(payload["task"])

    def report(epoch: EpochReport) -> None:
        context.report(asdict(epoch))

    def report_step(step: StepReport) -> None:
        context.report({STEP: asdict(step)})

    def should_stop() -> bool:
        return context.should_stop

    result = do_task(
        task, report, on_step=report_step, should_stop=should_stop, wait=payload["wait"]
    )
    return {"status": result.status}


def executor_task(task: Task, *, wait: bool, alone: bool = False) -> ExecutorTask:
    """A fold as plain data for an executor.

    Args:
        task: The fold.
        wait: Whether its process waits for another one that is at the fold.
        alone: Whether nothing else may run beside it on its device.
    """
    payload = {"task": task.to_json(), "wait": wait}
    return ExecutorTask(task_key(task), f"{__name__}:{train_fold.__name__}", payload, alone)


def task_key(task: Task) -> str:
    """Name a fold among those of several runs."""
    return f"{task.run.name}/{task.fold}"


@contextmanager
def _ending_forbidden() -> Iterator[None]:
    """Turn the end of the process by a component, which would pass for success, into a failure.

    Children of this process end as they like; so does an interrupted or terminated process.

    Raises:
        TrainingError: a component called ``sys.exit``, ``os._exit`` or ``os.abort``.
    """
    try:
        with hard_exits_raise():
            yield
    except SystemExit as error:
        if error.code in SIGNALLED:  # the fold goes on another time
            raise
        raise TrainingError(f"a component ended the process (exit code {error.code})") from error


@lru_cache(maxsize=1)
def _open_features(path: Path, prepared: Prepared) -> StoredFeatures:
    return open_features(path, prepared)


def _as_tuples(value: Any) -> Any:
    """Plain data with tuples in place of lists, as JSON knows lists only."""
    if isinstance(value, list | tuple):
        return tuple(map(_as_tuples, value))
    if isinstance(value, dict):
        return {key: _as_tuples(inner) for key, inner in value.items()}
    return value


@lru_cache(maxsize=1)
def _open(path: Path) -> Prepared:
    return open_prepared(path)


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, VolbenchError) else f"{type(error).__name__}: {error}"
