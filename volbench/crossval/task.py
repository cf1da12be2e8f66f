"""One fold as a task: train, score, write its files."""

import logging
import math
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from volbench._utils.atomic_io import write_atomic, write_json
from volbench.data.cache.features import StoredFeatures, open_features
from volbench.data.cache.packed import Prepared, open_prepared
from volbench.errors import StateError, StorageError, VolbenchError
from volbench.evaluation import gather
from volbench.evaluation.metrics import area_under_curve
from volbench.experiment.experiment import Experiment
from volbench.experiment.splits import FoldPartition
from volbench.profiling.fold_timings import Timings
from volbench.runs.folder import PREDICTIONS, FoldFolder, FoldResult, RunFolder, read_json
from volbench.runs.tables import Prediction, read_predictions
from volbench.training.compute import Compute
from volbench.training.fold import EpochReport, FoldTrainer, Trained
from volbench.training.inference import Scores

logger = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.safetensors"
TRACEBACK = "traceback.txt"
PROFILE = "profile.json"


@dataclass(frozen=True)
class Task:
    """Everything a process needs to do one fold."""

    experiment: Experiment
    prepared: Path
    run: Path
    fold: int
    part: FoldPartition
    compute: Compute
    checkpoint_seconds: float
    profile: bool = False
    features: Path | None = None


def do_task(task: Task, on_epoch: Callable[[EpochReport], None]) -> FoldResult:
    """Train and record a fold; a failure is recorded with its reason and returned.

    Raises:
        StorageError: nothing can be recorded, as when the disk is full.
    """
    folder = RunFolder(task.run).fold(task.fold)
    checkpoint = folder.path / CHECKPOINT
    try:
        prepared = _open(task.prepared)
        trainer = FoldTrainer(
            task.experiment,
            prepared,
            task.part,
            task.fold,
            task.compute,
            checkpoint=checkpoint,
            on_epoch=on_epoch,
            checkpoint_seconds=task.checkpoint_seconds,
            profile=task.profile,
            features=None if task.features is None else _open_features(task.features, prepared),
        )
        trained = trainer.run()
    except StorageError:
        raise
    except Exception as error:
        result = _record_failure(folder, error)
    else:
        result = _record_success(folder, task, prepared, trained)
        (folder.path / TRACEBACK).unlink(missing_ok=True)
        if trained.timings is not None:
            write_json(folder.path / PROFILE, asdict(trained.timings))
    checkpoint.unlink(missing_ok=True)
    logger.info("fold %d: %s", task.fold, result.error or f"finished in {result.seconds:.1f} s")
    return result


def read_timings(run: Path, fold: int) -> Timings | None:
    """Read where the time of a fold went; None if it was not profiled.

    Raises:
        StateError: the file is damaged.
    """
    path = RunFolder(run).fold(fold).path / PROFILE
    values = read_json(path)
    if values is None:
        return None
    try:
        return Timings(**values)
    except TypeError as error:
        raise StateError(f"{path} is damaged ({error}); delete it") from None


def fold_auc(folder: FoldFolder) -> float:
    """Held-out AUC of a finished fold; from its predictions where its record has none."""
    result = folder.result()
    if result is not None and result.auc is not None:
        return result.auc
    return _auc(*read_predictions((folder.path / PREDICTIONS).read_text(encoding="utf-8")))


def _auc(rows: Sequence[Prediction], classes: Sequence[str]) -> float:
    items = gather(rows, tuple(classes))
    return area_under_curve(items.labels, items.probabilities)


@lru_cache(maxsize=1)
def _open_features(path: Path, prepared: Prepared) -> StoredFeatures:
    return open_features(path, prepared)


@lru_cache(maxsize=1)
def _open(path: Path) -> Prepared:
    return open_prepared(path)


def _record_failure(folder: FoldFolder, error: Exception) -> FoldResult:
    reason = str(error) if isinstance(error, VolbenchError) else f"{type(error).__name__}: {error}"
    write_atomic(folder.path / TRACEBACK, "".join(traceback.format_exception(error)))
    return folder.write_failure(" ".join(reason.split()))


def _record_success(
    folder: FoldFolder, task: Task, prepared: Prepared, trained: Trained
) -> FoldResult:
    rows = _rows(trained.scores, task, prepared)
    auc = _auc(rows, prepared.classes)
    result = FoldResult(
        fold=task.fold,
        status="finished",
        seconds=round(trained.seconds, 3),
        samples_per_second=round(trained.samples_per_second, 3),
        peak_memory_mb=round(trained.peak_memory_mb, 1),
        parameters=trained.parameters,
        selected_epoch=trained.selected_epoch,
        auc=None if math.isnan(auc) else auc,
        device=task.compute.device,
        precision=task.compute.precision,
        threads=task.compute.threads,
    )
    validation = trained.validation
    return folder.write_success(
        result,
        rows,
        prepared.classes,
        trained.history,
        trained.model,
        validation=() if validation is None else _rows(validation, task, prepared),
    )


def _rows(scores: Scores, task: Task, prepared: Prepared) -> list[Prediction]:
    return [
        Prediction(
            case=prepared.cases[index].name,
            patient=prepared.cases[index].patient,
            label=prepared.classes[label],
            fold=task.fold,
            slice=None if number < 0 else int(number),
            probabilities=tuple(map(float, row)),
        )
        for index, number, label, row in zip(
            scores.cases, scores.slices, scores.labels, scores.probabilities, strict=True
        )
    ]
