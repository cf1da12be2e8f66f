"""Files of a finished fold: written once, and read again."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from volbench.crossval.environment import describe_machine
from volbench.data.cache.packed_voxels import Prepared
from volbench.errors import StateError
from volbench.evaluation.items import gather
from volbench.evaluation.metrics import area_under_curve
from volbench.profiling.fold_timings import Timings
from volbench.runs.folder import (
    PREDICTIONS,
    PROFILE,
    FoldFolder,
    FoldResult,
    RunFolder,
    read_json,
)
from volbench.runs.predictions_file import Prediction, read_predictions
from volbench.training.device_and_precision import Compute
from volbench.training.fold import Trained
from volbench.training.inference import Scores


def write_result(
    folder: FoldFolder, fold: int, compute: Compute, prepared: Prepared, trained: Trained
) -> FoldResult:
    """Write what a finished fold predicts, what it learned and what that took."""
    rows = _rows(trained.scores, fold, prepared)
    auc = _auc(rows, prepared.classes)
    result = FoldResult(
        fold=fold,
        status="finished",
        seconds=round(trained.seconds, 3),
        samples_per_second=round(trained.samples_per_second, 3),
        peak_memory_mb=round(trained.peak_memory_mb, 1),
        parameters=trained.parameters,
        selected_epoch=trained.selected_epoch,
        auc=None if math.isnan(auc) else auc,
        device=compute.device,
        precision=compute.precision,
        threads=compute.threads,
    )
    validation = trained.validation
    return folder.write_success(
        result,
        rows,
        prepared.classes,
        trained.history,
        trained.model,
        validation=() if validation is None else _rows(validation, fold, prepared),
        environment=describe_machine(compute),
        profile=None if trained.timings is None else asdict(trained.timings),
    )


def read_timings(run: Path, fold: int) -> Timings | None:
    """Read where the time of a fold went; None if it was not profiled.

    Raises:
        StateError: the file is damaged.
    """
    folder = RunFolder(run).fold(fold)
    path = folder.path / PROFILE
    values = read_json(path)
    if values is None:
        return None
    if (result := folder.result()) is not None:
        folder.verify(result, only=PROFILE)
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


def _rows(scores: Scores, fold: int, prepared: Prepared) -> list[Prediction]:
    return [
        Prediction(
            case=prepared.cases[index].name,
            patient=prepared.cases[index].patient,
            label=prepared.classes[label],
            fold=fold,
            slice=None if number < 0 else int(number),
            probabilities=tuple(map(float, row)),
        )
        for index, number, label, row in zip(
            scores.cases, scores.slices, scores.labels, scores.probabilities, strict=True
        )
    ]


def _auc(rows: Sequence[Prediction], classes: Sequence[str]) -> float:
    items = gather(rows, tuple(classes))
    return area_under_curve(items.labels, items.probabilities)
