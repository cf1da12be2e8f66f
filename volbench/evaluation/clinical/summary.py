"""What a run's stored predictions say about its clinical use: old runs gain, nothing is trained."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from volbench.errors import DataError, UsageError
from volbench.evaluation.clinical.calibration import (
    CalibrationLine,
    calibration_line,
    recalibrated,
)
from volbench.evaluation.clinical.conformal import conformal_sets, coverage_by_class
from volbench.evaluation.clinical.decisions import (
    expected_cost,
    net_benefit,
    predictive_values,
)
from volbench.evaluation.clinical.selective import RiskCoverage, risk_coverage
from volbench.evaluation.clinical.subgroups import SubgroupGap, largest_gap
from volbench.evaluation.items import Items, Unit, gather
from volbench.evaluation.metrics import brier, log_loss
from volbench.evaluation.statistics.bootstrap import RESAMPLES
from volbench.evaluation.statistics.patient_bootstrap import clusters_of
from volbench.evaluation.strata import strata_of
from volbench.runs.load import LoadedRun
from volbench.runs.predictions_file import Prediction

THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
Span = tuple[float, float, float]
"""An estimate with the ends of its interval."""


@dataclass(frozen=True)
class Calibrated:
    """Probabilities as they are, or recalibrated on the inner part: how good they are.

    Attributes:
        line: Intercept and slope on the held-out cases.
        brier: Brier score.
        log_loss: Log loss.
    """

    line: CalibrationLine
    brier: float
    log_loss: float


@dataclass(frozen=True)
class Benefit:
    """A point of a decision curve: net benefit per patient.

    Attributes:
        threshold: Probability from which on a patient is treated.
        model: By the model, with its interval over patients.
        treat_all: Of treating everybody; treating nobody has 0.
        gain: The model's beyond the better of those two, with its interval.
    """

    threshold: float
    model: Span
    treat_all: float
    gain: Span


@dataclass(frozen=True)
class AtPrevalence:
    """Predictive values and cost where so many patients have the second class."""

    prevalence: float
    ppv: Span
    npv: Span
    cost: Span


@dataclass(frozen=True)
class Conformal:
    """Prediction sets, calibrated on each fold's inner part.

    Attributes:
        alpha: Share of each class that sets may miss.
        coverage: Share of each class's cases whose set has it.
        single: Share of the sets with one class.
        empty: Share with none.
    """

    alpha: float
    coverage: tuple[float, ...]
    single: float
    empty: float


@dataclass(frozen=True, eq=False)
class ClinicalSummary:
    """A run's predictions, pooled over folds.

    Attributes:
        items: What is scored.
        calibration: As they are, and recalibrated; the second is None without inner parts, or
            where no line can be fitted on any of them.
        unfitted: Folds whose inner part is separated completely, so that no line can be fitted on
            it and their probabilities stay as they are.
        curve: The decision curve.
        sensitivity: At the threshold, with its interval.
        specificity: At the threshold, with its interval.
        at: Predictive values at the data's prevalence, then at those asked for.
        selective: Error rate by how many of the surest cases are decided.
        conformal: None without inner parts.
        gaps: By column.
    """

    run: LoadedRun
    items: Items
    calibration: tuple[Calibrated, Calibrated | None] | None
    curve: tuple[Benefit, ...]
    sensitivity: Span | None
    specificity: Span | None
    at: tuple[AtPrevalence, ...]
    selective: RiskCoverage
    conformal: Conformal | None
    gaps: dict[str, SubgroupGap]
    unfitted: tuple[int, ...] = ()


def clinical_summary(
    run: LoadedRun,
    *,
    unit: Unit | None = None,
    threshold: str | float = 0.5,
    prevalences: Sequence[float] = (),
    missed: float = 1.0,
    columns: Sequence[str] = (),
    conformal_alpha: float = 0.1,
    resamples: int = RESAMPLES,
    seed: int = 0,
    alpha: float = 0.05,
) -> ClinicalSummary:
    """Judge a run by its held-out predictions, pooled over the finished folds.

    With more than two classes there are prediction sets and the selective error only.

    Args:
        run: Read by ``load_run``.
        unit: What is scored; None means what the run predicts.
        threshold: A number, or a rule that sets it on the inner part of each fold.
        prevalences: Shares of patients of the second class to give predictive values for.
        missed: Cost of a missed patient, where a false alarm costs 1.
        columns: Columns of the cases to look for subgroups in.
        conformal_alpha: Share of each class that prediction sets may miss.
        resamples: Draws of patients for the intervals.
        seed: Of these draws.
        alpha: Intervals have ``1 - alpha``.

    Raises:
        UsageError: no fold is finished, the unit or threshold does not fit, an unknown column.
        DataError: a class is missing among the held-out cases.
    """
    rows = [row for fold in run.predictions.values() for row in fold]
    if not rows:
        raise UsageError(f"{run.name} has no finished fold; run it first")
    items = gather(rows, run.classes, unit=unit, threshold=threshold, validation=run.validation)
    if len(np.unique(items.labels)) < len(items.classes):
        raise DataError(f"{run.name}: a class is missing among its held-out cases")
    two = len(items.classes) == 2
    weights = np.concatenate(
        list(clusters_of(items.labels, np.array(items.patients)).draws(resamples, seed))
    )
    rates = _rates(items, weights) if two else None
    calibration, unfitted = _calibration(items, run) if two else (None, ())
    return ClinicalSummary(
        run=run,
        items=items,
        calibration=calibration,
        unfitted=unfitted,
        curve=_curve(items, weights, alpha) if two else (),
        sensitivity=_span(rates[0], alpha) if rates else None,
        specificity=_span(rates[1], alpha) if rates else None,
        at=_at(rates, items, prevalences, missed, alpha) if rates else (),
        selective=risk_coverage(items.predicted != items.labels, _confidence(items)),
        conformal=_conformal(items, run, conformal_alpha),
        gaps={column: _gap(items, run, column, seed) for column in columns} if two else {},
    )


def _inner(run: LoadedRun, fold: int, unit: Unit) -> Items | None:
    rows: Sequence[Prediction] = run.validation.get(fold, ())
    return gather(rows, run.classes, unit=unit) if rows else None


def _calibration(
    items: Items, run: LoadedRun
) -> tuple[tuple[Calibrated, Calibrated | None], tuple[int, ...]]:
    """As they are and recalibrated, and the folds on which no line could be fitted."""
    positive = items.probabilities[:, 1].copy()
    unfitted: list[int] = []
    for fold in np.unique(items.folds):
        inner = _inner(run, int(fold), items.unit)
        if inner is None or len(np.unique(inner.labels)) < 2:
            return (_calibrated(items), None), ()
        line = calibration_line(inner.labels, inner.probabilities[:, 1])
        if not math.isfinite(line.slope):
            unfitted.append(int(fold))
            continue
        mine = items.folds == fold
        positive[mine] = recalibrated(positive[mine], line)
    if len(unfitted) == len(np.unique(items.folds)):
        return (_calibrated(items), None), tuple(unfitted)
    better = replace(items, probabilities=np.stack([1 - positive, positive], axis=1))
    return (_calibrated(items), _calibrated(better)), tuple(unfitted)


def _calibrated(items: Items) -> Calibrated:
    return Calibrated(
        line=calibration_line(items.labels, items.probabilities[:, 1]),
        brier=brier(items.labels, items.probabilities),
        log_loss=log_loss(items.labels, items.probabilities),
    )


def _curve(
    items: Items, weights: Float[np.ndarray, "resample item"], alpha: float
) -> tuple[Benefit, ...]:
    thresholds = np.array(THRESHOLDS)
    everyone = np.ones(len(items.labels))
    both = np.concatenate([everyone[None], weights])
    model = net_benefit(items.labels, items.probabilities[:, 1], thresholds, weights=both)
    treat_all = net_benefit(items.labels, everyone, thresholds, weights=both)
    gain = model - np.maximum(treat_all, 0)
    return tuple(
        Benefit(
            threshold=float(threshold),
            model=_span(model[:, place], alpha),
            treat_all=float(treat_all[0, place]),
            gain=_span(gain[:, place], alpha),
        )
        for place, threshold in enumerate(thresholds)
    )


def _rates(
    items: Items, weights: Float[np.ndarray, "resample item"]
) -> tuple[Float[np.ndarray, " draw"], Float[np.ndarray, " draw"]]:
    """Sensitivity and specificity, first of the data, then of each draw."""
    drawn = np.concatenate([np.ones((1, len(items.labels))), weights])
    right = 1.0 * (items.predicted == items.labels)
    found = []
    for label in (1, 0):
        own = 1.0 * (items.labels == label)
        found.append(np.asarray((drawn @ (right * own)) / (drawn @ own)))
    return found[0], found[1]


def _at(
    rates: tuple[Float[np.ndarray, " draw"], Float[np.ndarray, " draw"]],
    items: Items,
    prevalences: Sequence[float],
    missed: float,
    alpha: float,
) -> tuple[AtPrevalence, ...]:
    found = []
    for prevalence in (float((items.labels == 1).mean()), *prevalences):
        each = [
            (
                *predictive_values(sensitivity, specificity, prevalence),
                expected_cost(sensitivity, specificity, prevalence, missed=missed),
            )
            for sensitivity, specificity in zip(*rates, strict=True)
        ]
        ppv, npv, cost = (_span(np.array(column), alpha) for column in zip(*each, strict=True))
        found.append(AtPrevalence(prevalence, ppv, npv, cost))
    return tuple(found)


def _confidence(items: Items) -> Float[np.ndarray, " item"]:
    """How far the decision is from the other one."""
    if len(items.classes) == 2:
        return np.asarray(np.abs(items.probabilities[:, 1] - items.thresholds))
    return np.asarray(items.probabilities.max(axis=1))


def _conformal(items: Items, run: LoadedRun, alpha: float) -> Conformal | None:
    sets: Bool[np.ndarray, "item class"] = np.zeros(items.probabilities.shape, dtype=bool)
    for fold in np.unique(items.folds):
        inner = _inner(run, int(fold), items.unit)
        if inner is None or len(np.unique(inner.labels)) < len(items.classes):
            return None
        mine = items.folds == fold
        sets[mine] = conformal_sets(
            inner.labels, inner.probabilities, items.probabilities[mine], alpha=alpha
        )
    sizes = sets.sum(axis=1)
    return Conformal(
        alpha=alpha,
        coverage=tuple(map(float, coverage_by_class(items.labels, sets))),
        single=float((sizes == 1).mean()),
        empty=float((sizes == 0).mean()),
    )


def _gap(items: Items, run: LoadedRun, column: str, seed: int) -> SubgroupGap:
    strata = strata_of(run.case_rows)
    known = sorted({name for row in strata.values() for name in row})
    if column not in known:
        raise UsageError(
            f"--by {column!r} is not a column of the cases of {run.name}; there is "
            f"{', '.join(known) or 'none'}"
        )
    groups = np.array([strata[cases[0]].get(column, "") for cases in items.cases])
    return largest_gap(
        items.labels,
        items.probabilities[:, 1],
        groups,
        clusters=np.array(items.patients),
        seed=seed,
    )


def _span(values: Float[np.ndarray, " draw"], alpha: float) -> Span:
    """The first value, and the middle of the others; of those that are defined, if any is.

    Most are where the first one is: a patient that it rests on is drawn in five of eight samples.
    """
    drawn = values[1:][~np.isnan(values[1:])]
    if not len(drawn):
        return float(values[0]), math.nan, math.nan
    low, high = np.quantile(drawn, [alpha / 2, 1 - alpha / 2])
    return float(values[0]), float(low), float(high)
