"""An external evaluation as JSON values, and read back from them for the report."""

import json
import math
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np

from volbench.errors import DataError
from volbench.evaluation.clinical import CalibrationLine
from volbench.evaluation.metrics import metrics_for
from volbench.evaluation.statistics import Verdict
from volbench.leaderboard.render.json import plain
from volbench.predict.external import ExternalEvaluation, ExternalPair, ExternalRun, Span

ENDS = ("value", "low", "high")
UNREADABLE = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError),
    *(IndexError, RecursionError),
)
"""What reading a file of another kind, or one that is damaged, may raise."""


def external_json(found: ExternalEvaluation) -> dict[str, Any]:
    """Everything as plain values; NaN is None."""
    values = {
        "schema": 1,
        "data": found.source,
        "cases": len(found.labels),
        "patients": len(set(found.patients)),
        "classes": list(found.classes),
        "labels": [found.classes[index] for index in found.labels],
        "patient_of_case": list(found.patients),
        "runs": [_values(run) for run in found.runs],
        "pairs": [
            {
                "run": pair.first,
                "against": pair.second,
                "difference": _ends(pair.difference),
                "p": pair.p,
                "p_holm": pair.p_holm,
                "verdict": pair.verdict,
            }
            for pair in found.pairs
        ],
    }
    return {name: plain(value) for name, value in values.items()}


def read_external(path: Path) -> ExternalEvaluation:
    """Read what ``volbench evaluate --format json`` wrote.

    Raises:
        DataError: the file holds something else, or was written before labels were kept in it.
    """
    try:
        found = _evaluation(json.loads(path.read_text(encoding="utf-8")))
        _require_whole(found)
    except UNREADABLE as error:
        raise DataError(
            f"{path} is no evaluation to report; write it anew: volbench evaluate RUN... --data "
            f"MANIFEST --output {path.with_suffix('.json')}"
        ) from error
    return found


def _require_whole(found: ExternalEvaluation) -> None:
    """Refuse what does not fit together, so that nothing of it is drawn.

    Raises:
        ValueError: something is missing, or of another size than its neighbours.
        KeyError: a run lacks a metric or a stratum that is shown of the first one.
    """
    cases, classes = len(found.labels), len(found.classes)
    counts = np.bincount(found.labels, minlength=classes)
    if classes < 2 or not counts.all() or len(found.patients) != cases or not found.runs:
        raise ValueError("classes, labels, patients or runs")
    shown = [name for name, metric in metrics_for(found.classes).items() if metric.headline]
    shown = [name for name in (*shown, "brier") if name != "auc"]
    for run in found.runs:
        scores = run.probabilities
        if scores.shape != (cases, classes) or not ((scores >= 0) & (scores <= 1)).all():
            raise ValueError("probabilities")
        if run.by_fold.ndim != 1 or not len(run.by_fold):
            raise ValueError("auc_by_fold")
        for name in shown:
            run.metrics[name]
        for column, groups in found.runs[0].strata.items():
            for group in groups:
                run.strata[column][group]


def _evaluation(values: dict[str, Any]) -> ExternalEvaluation:
    classes = tuple(map(str, values["classes"]))
    return ExternalEvaluation(
        source=str(values["data"]),
        classes=classes,
        labels=np.array([classes.index(name) for name in values["labels"]], dtype=np.int64),
        patients=tuple(map(str, values["patient_of_case"])),
        runs=tuple(_run(each) for each in values["runs"]),
        pairs=tuple(
            ExternalPair(
                first=str(each["run"]),
                second=str(each["against"]),
                difference=_span(each["difference"]),
                p=_float(each["p"]),
                p_holm=_float(each["p_holm"]),
                verdict=_verdict(each["verdict"]),
            )
            for each in values["pairs"]
        ),
    )


def _values(run: ExternalRun) -> dict[str, Any]:
    return {
        "run": run.name,
        "experiment_id": run.experiment_id,
        "auc": _ends(run.auc),
        "auc_by_fold": run.by_fold.tolist(),
        "internal_auc": run.internal,
        "change": _ends(run.drop),
        "threshold": run.threshold,
        "metrics": {name: _ends(span) for name, span in run.metrics.items()},
        "calibration": None if run.calibration is None else vars(run.calibration),
        "recalibrated_brier": run.recalibrated_brier,
        "strata": {
            column: {group: {"cases": n, "auc": _ends(span)} for group, (n, span) in groups.items()}
            for column, groups in run.strata.items()
        },
        "probabilities": run.probabilities.tolist(),
        "warnings": list(run.warnings),
    }


def _run(values: dict[str, Any]) -> ExternalRun:
    line = values["calibration"]
    return ExternalRun(
        name=str(values["run"]),
        experiment_id=str(values["experiment_id"]),
        probabilities=np.array(values["probabilities"], dtype=np.float64),
        by_fold=np.array([_float(each) for each in values["auc_by_fold"]]),
        auc=_span(values["auc"]),
        internal=_float(values["internal_auc"]),
        drop=_span(values["change"]),
        threshold=_float(values["threshold"]),
        metrics={name: _span(each) for name, each in values["metrics"].items()},
        calibration=line and CalibrationLine(**{key: _float(each) for key, each in line.items()}),
        recalibrated_brier=_float(values["recalibrated_brier"]),
        strata={
            column: {
                group: (int(each["cases"]), _span(each["auc"])) for group, each in groups.items()
            }
            for column, groups in values["strata"].items()
        },
        warnings=tuple(map(str, values["warnings"])),
    )


def _verdict(text: object) -> Verdict:
    if text not in get_args(Verdict):
        raise ValueError("verdict")
    return cast("Verdict", text)


def _ends(span: Span) -> dict[str, float]:
    return dict(zip(ENDS, span, strict=True))


def _span(ends: dict[str, float | None]) -> Span:
    value, low, high = (_float(ends[name]) for name in ENDS)
    return value, low, high


def _float(value: float | None) -> float:
    return math.nan if value is None else float(value)
