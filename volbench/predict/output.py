"""Predictions as CSV or JSON."""

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Float

import volbench
from volbench._utils.csv_text import csv_text
from volbench.predict.ensemble import Ensemble
from volbench.predict.results import NOTICE, THRESHOLD, Predicted, Spread, decide

SCHEMA = 1
Format: TypeAlias = Literal["csv", "json"]


def show(predicted: Sequence[Predicted], ensemble: Ensemble, style: Format) -> str:
    """Write predictions as text; numbers keep every digit."""
    return _csv(predicted, ensemble) if style == "csv" else _json(predicted, ensemble)


def _csv(predicted: Sequence[Predicted], ensemble: Ensemble) -> str:
    """One row per case; at slice level one per slice before it, the case's without a number."""
    classes, by_slice = ensemble.trained.classes, ensemble.trained.by_slice
    header = [
        "case",
        "patient",
        "label",
        *(["slice"] if by_slice else []),
        "predicted",
        "threshold",
        "folds",
        "in_sample_folds",
        *(f"{what}_{name}" for name in classes for what in ("prob", "std", "min", "max")),
        *(f"fold{fold}_{name}" for fold in ensemble.folds for name in classes),
    ]
    rows: list[list[object]] = []
    for one in predicted:
        for number, by_fold in (*one.by_slice.items(), (None, one.by_fold)):
            spread = Spread.of(by_fold)
            rows.append(
                [
                    *(one.case.name, one.case.patient, one.case.label),
                    *(["" if number is None else number] if by_slice else []),
                    decide(by_fold, classes),
                    THRESHOLD if len(classes) == 2 else "",
                    len(one.folds),
                    len(one.in_sample.folds) if one.in_sample else 0,
                    *(_cell(value) for column in _columns(spread) for value in column),
                    *map(float, by_fold.ravel()),
                ]
            )
    return csv_text([header, *rows])


def _columns(spread: Spread) -> Iterator[tuple[float, ...]]:
    """Mean, standard deviation, minimum and maximum, class after class."""
    for column in zip(spread.mean, spread.std, spread.low, spread.high, strict=True):
        yield tuple(map(float, column))


def _cell(value: float) -> float | str:
    return "" if math.isnan(value) else value


def _json(predicted: Sequence[Predicted], ensemble: Ensemble) -> str:
    trained = ensemble.trained
    said = {
        "schema": SCHEMA,
        "notice": NOTICE,
        "volbench": volbench.__version__,
        "run": str(trained.run.path),
        "experiment": trained.run.experiment["id"],
        "level": trained.run.experiment["level"],
        "classes": list(trained.classes),
        "threshold": THRESHOLD if len(trained.classes) == 2 else None,
        "folds": list(ensemble.folds),
        "missing_folds": {str(fold): reason for fold, reason in trained.missing.items()},
        "views_per_case": trained.views.passes or 1,
        "device": ensemble.compute.device,
        "precision": ensemble.compute.precision,
        "cases": [_case(one) for one in predicted],
    }
    return json.dumps(said, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _case(one: Predicted) -> dict[str, Any]:
    known = one.in_sample
    return {
        "case": one.case.name,
        "patient": one.case.patient or None,
        "label": one.case.label or None,
        **_probabilities(one, one.by_fold),
        "slices": [
            {"slice": number, **_probabilities(one, by_fold)}
            for number, by_fold in one.by_slice.items()
        ],
        "stored_shape": list(one.shape),
        "stored_spacing_mm": list(one.spacing_mm),
        "in_sample": known
        and {
            "by": "patient" if known.by_patient else "case",
            "folds": list(known.folds),
            "held_out": known.held_out and dict(zip(one.classes, known.held_out, strict=True)),
        },
        "warnings": list(one.warnings),
    }


def _probabilities(one: Predicted, by_fold: Float[np.ndarray, "fold class"]) -> dict[str, Any]:
    spread = Spread.of(by_fold)
    alone = len(by_fold) == 1
    return {
        "predicted": decide(by_fold, one.classes),
        "probabilities": _by_class(one, spread.mean),
        "std": None if alone else _by_class(one, spread.std),
        "min": _by_class(one, spread.low),
        "max": _by_class(one, spread.high),
        "by_fold": {
            str(fold): _by_class(one, row) for fold, row in zip(one.folds, by_fold, strict=True)
        },
    }


def _by_class(one: Predicted, values: Float[np.ndarray, " class"]) -> dict[str, float]:
    return dict(zip(one.classes, map(float, values), strict=True))
