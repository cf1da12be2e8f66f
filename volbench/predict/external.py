"""External evaluation: runs on labelled patients of another hospital, whom they never saw.

Here the networks are given and the patients are new, so intervals over patients and DeLong's paired
test are exact for the question: would this ensemble win on such patients? Everything that has to be
chosen (thresholds, recalibration) was chosen on the runs' own inner validation parts.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from volbench.errors import DataError
from volbench.evaluation.clinical import CalibrationLine, calibration_line, recalibrated
from volbench.evaluation.items import gather
from volbench.evaluation.metrics import (
    ThresholdRule,
    area_under_curve,
    brier,
    metrics_for,
)
from volbench.evaluation.statistics import (
    Verdict,
    area_test,
    bootstrap_interval,
    delong,
    holm,
    verdict,
)
from volbench.evaluation.statistics.bootstrap import RESAMPLES
from volbench.evaluation.strata import FEWEST, case_groups
from volbench.interfaces import Case
from volbench.predict.ensemble import Ensemble
from volbench.predict.preparation import VolumePreparation
from volbench.predict.results import Predicted
from volbench.predict.volumes import find_cases
from volbench.runs.load import LoadedRun

Span = tuple[float, float, float]
"""An estimate with the ends of its 95 % interval; NaN where there is none."""

NOT_RECALIBRATED = (
    "not recalibrated: its inner validation parts lack a class, or separate the classes "
    "completely, which no line fits"
)


@dataclass(frozen=True, eq=False)
class ExternalRun:
    """One run on the external cases.

    Attributes:
        name: Of the run.
        experiment_id: Of its experiment.
        probabilities: Of its ensemble, [case, class].
        by_fold: AUC of each fold's network alone.
        auc: Of the ensemble, interval by patient (DeLong).
        internal: AUC of the run's own cross-validation: mean over folds.
        drop: External less internal AUC. The patients are others, so the variances add up; the
            internal one is DeLong's within folds.
        threshold: Mean over folds of what the rule chose on the inner validation part.
        metrics: The other headline metrics and the Brier score at this threshold, by name;
            intervals by the bootstrap.
        calibration: Of two classes: intercept and slope on the external cases.
        recalibrated_brier: Brier score once probabilities are recalibrated by a line that was
            fitted on the inner validation parts; NaN without those, or where no line fits.
        strata: By column and group, the number of cases and the AUC.
        warnings: What a reader must know.
    """

    name: str
    experiment_id: str
    probabilities: Float[np.ndarray, "case class"]
    by_fold: Float[np.ndarray, " fold"]
    auc: Span
    internal: float
    drop: Span
    threshold: float
    metrics: dict[str, Span]
    calibration: CalibrationLine | None
    recalibrated_brier: float
    strata: dict[str, dict[str, tuple[int, Span]]]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class ExternalPair:
    """Two runs on the same external cases; first less second, by DeLong's test."""

    first: str
    second: str
    difference: Span
    p: float
    p_holm: float
    verdict: Verdict


@dataclass(frozen=True, eq=False)
class ExternalEvaluation:
    """Runs on labelled cases that none of them was trained on.

    Attributes:
        source: The manifest.
        classes: Names of the classes.
        labels: Index of the true class of each case.
        patients: The patient of each case.
        runs: The largest AUC first.
        pairs: Every two of them.
    """

    source: str
    classes: tuple[str, ...]
    labels: Int[np.ndarray, " case"]
    patients: tuple[str, ...]
    runs: tuple[ExternalRun, ...]
    pairs: tuple[ExternalPair, ...]


def evaluate(
    runs: Sequence[Path],
    manifest: Path,
    *,
    threshold: str | float = 0.5,
    columns: Sequence[str] = (),
    device: str = "auto",
    precision: str = "auto",
    anyway: bool = False,
    jobs: int = 1,
    resamples: int = RESAMPLES,
    seed: int = 0,
    alpha: float = 0.05,
    on_run: Callable[[int, int], None] | None = None,
) -> ExternalEvaluation:
    """Score runs on labelled cases of a manifest.

    Args:
        runs: Their folders; every finished fold of each votes.
        manifest: A CSV with ``image``, ``label`` and ``patient``.
        threshold: A number, or a rule that is set on the runs' own inner validation parts.
        columns: Columns of the manifest to give the AUC by.
        device: Where to compute.
        precision: ``auto`` is that of the runs.
        anyway: Accept spacings that a run was not trained on, with a warning.
        jobs: Processes that read and prepare.
        resamples: Draws of patients for the intervals of metrics other than the AUC.
        seed: Of these draws.
        alpha: Level of the tests; intervals have ``1 - alpha``.
        on_run: Called with the number of runs that are scored, and of all.

    Raises:
        DataError: a case has no label or one the runs do not know, a class is missing, a run was
            trained on one of the patients, or the runs have different classes.
    """
    found: list[ExternalRun] = []
    cases: list[Case] = []
    classes: tuple[str, ...] = ()
    with VolumePreparation() as shared:
        for done, path in enumerate(runs, start=1):
            ensemble = Ensemble(path, device=device, precision=precision)
            if classes and ensemble.trained.classes != classes:
                raise DataError(f"{path} has other classes than {runs[0]}; evaluate them apart")
            classes = ensemble.trained.classes
            cases = find_cases([manifest], ensemble.trained)
            labels = _labels(cases, classes, manifest)
            predicted = ensemble.predict(cases, anyway=anyway, jobs=jobs, preparation=shared)
            _refuse_known(predicted, path)
            scored = _Scored(ensemble, labels, cases, predicted, threshold, resamples, seed, alpha)
            found.append(scored.result(columns))
            if on_run:
                on_run(done, len(runs))
    found.sort(key=lambda each: -each.auc[0])
    patients = tuple(case.patient for case in cases)
    pairs = _pairs(found, labels, patients, alpha)
    return ExternalEvaluation(str(manifest), classes, labels, patients, tuple(found), pairs)


@dataclass(frozen=True, eq=False)
class _Scored:
    """One run's predictions while they are judged."""

    ensemble: Ensemble
    labels: Int[np.ndarray, " case"]
    cases: Sequence[Case]
    predicted: Sequence[Predicted]
    rule: str | float
    resamples: int
    seed: int
    alpha: float

    def result(self, columns: Sequence[str]) -> ExternalRun:
        by_fold = np.stack([one.by_fold for one in self.predicted], axis=1)
        mean = by_fold.mean(axis=0)
        run = self.ensemble.trained.run
        patients = np.array([case.patient for case in self.cases])
        auc, error = self._area(mean, patients)
        internal, internal_error = _internal(run)
        threshold = _threshold(run, self.rule)
        line, better = self._calibration(mean, run)
        warnings = (*self.ensemble.warnings, *(w for one in self.predicted for w in one.warnings))
        if line is not None and run.validation and math.isnan(better):
            warnings += (NOT_RECALIBRATED,)
        return ExternalRun(
            name=run.name,
            experiment_id=str(run.experiment["id"]),
            probabilities=mean,
            by_fold=np.array([area_under_curve(self.labels, each) for each in by_fold]),
            auc=auc,
            internal=internal,
            drop=self._span(auc[0] - internal, math.hypot(error, internal_error), 1.0),
            threshold=threshold,
            metrics=self._metrics(mean, patients, threshold),
            calibration=line,
            recalibrated_brier=better,
            strata={column: self._by(column, mean, patients) for column in columns},
            warnings=warnings,
        )

    def _area(
        self, probabilities: Float[np.ndarray, "case class"], patients: np.ndarray
    ) -> tuple[Span, float]:
        areas = delong(self.labels, probabilities[None], clusters=patients)
        error = math.sqrt(max(0.0, float(areas.covariance[0, 0])))
        low, high = self._span(float(areas.areas[0]), error, 1.0)[1:]
        return (float(areas.areas[0]), max(0.0, low), high), error

    def _span(self, value: float, error: float, limit: float) -> Span:
        reach = float(stats.norm.ppf(1 - self.alpha / 2)) * error
        return value, max(-limit, value - reach), min(limit, value + reach)

    def _metrics(
        self, mean: Float[np.ndarray, "case class"], patients: np.ndarray, threshold: float
    ) -> dict[str, Span]:
        found = {}
        for name, metric in metrics_for(self.ensemble.trained.classes).items():
            if name == "auc" or not (metric.headline or name == "brier"):
                continue
            interval = bootstrap_interval(
                self.labels,
                mean,
                metric=partial(metric, threshold=threshold),
                clusters=patients,
                resamples=self.resamples,
                seed=self.seed,
                alpha=self.alpha,
            )
            found[name] = (interval.estimate, interval.low, interval.high)
        return found

    def _calibration(
        self, mean: Float[np.ndarray, "case class"], run: LoadedRun
    ) -> tuple[CalibrationLine | None, float]:
        if mean.shape[1] != 2:
            return None, math.nan
        line = calibration_line(self.labels, mean[:, 1])
        inner = [row for rows in run.validation.values() for row in rows]
        labels = np.array([run.classes.index(row.label) for row in inner])
        if len(set(labels.tolist())) < 2:
            return line, math.nan
        learned = calibration_line(labels, np.array([row.probabilities[1] for row in inner]))
        if not math.isfinite(learned.slope):
            return line, math.nan
        positive = recalibrated(mean[:, 1], learned)
        return line, brier(self.labels, np.stack([1 - positive, positive], axis=1))

    def _by(
        self, column: str, mean: Float[np.ndarray, "case class"], patients: np.ndarray
    ) -> dict[str, tuple[int, Span]]:
        if not any(column in case.strata for case in self.cases):
            known = sorted({name for case in self.cases for name in case.strata})
            raise DataError(
                f"--by {column!r} is not a column of the manifest; there is "
                f"{', '.join(known) or 'none'}"
            )
        groups = case_groups({case.name: case.strata.get(column, "") for case in self.cases})
        mine = np.array([groups[case.name] for case in self.cases])
        found = {}
        for group in dict.fromkeys(groups.values()):
            inside = mine == group
            counts = np.bincount(self.labels[inside], minlength=mean.shape[1])
            span: Span = (math.nan, math.nan, math.nan)
            if counts.min() >= FEWEST:
                part = _Scored(self.ensemble, self.labels[inside], (), (), self.rule,
                               self.resamples, self.seed, self.alpha)  # fmt: skip
                span, _ = part._area(mean[inside], patients[inside])
            found[str(group)] = (int(inside.sum()), span)
        return found


def _labels(
    cases: Sequence[Case], classes: tuple[str, ...], manifest: Path
) -> Int[np.ndarray, " case"]:
    for case in cases:
        if case.label not in classes:
            what = f"label {case.label!r}" if case.label else "no label"
            raise DataError(
                f"{manifest}: case {case.name!r} has {what}; the runs know {', '.join(classes)}"
            )
        if not case.patient:
            raise DataError(
                f"{manifest}: case {case.name!r} has no patient; without patients nobody can tell "
                "whether a run was trained on them"
            )
    labels = np.array([classes.index(case.label) for case in cases], dtype=np.int64)
    if missing := set(range(len(classes))) - set(labels.tolist()):
        raise DataError(f"{manifest} has no case of the class {classes[min(missing)]!r}")
    return labels


def _refuse_known(predicted: Sequence[Predicted], path: Path) -> None:
    known = [one.case for one in predicted if one.in_sample]
    if known:
        more = f" (and {len(known) - 1} more)" if len(known) > 1 else ""
        raise DataError(
            f"{path} was trained on patient {known[0].patient!r} of case {known[0].name!r}{more}; "
            "external patients must be new to it. Leave them out, or look at its own held-out "
            "scores with volbench compare"
        )


def _internal(run: LoadedRun) -> tuple[float, float]:
    """AUC of the run's cross-validation as in every table, and its standard error over patients."""
    items = gather([row for rows in run.predictions.values() for row in rows], run.classes)
    try:
        areas = delong(
            items.labels,
            items.probabilities[None],
            clusters=np.array(items.patients),
            folds=items.folds,
            repeated=items.repeated,
            undefined="omit",
        )
    except DataError:  # one patient of a class in every fold
        return math.nan, math.nan
    return float(areas.areas[0]), math.sqrt(max(0.0, float(areas.covariance[0, 0])))


def _threshold(run: LoadedRun, text: str | float) -> float:
    rule = ThresholdRule.parse(text)
    if not rule.chosen or len(run.classes) != 2:
        return float(rule.value if rule.value is not None else 0.5)
    rows = [row for each in run.predictions.values() for row in each]
    items = gather(rows, run.classes, threshold=text, validation=run.validation)
    return float(np.mean([items.thresholds[items.folds == k][0] for k in np.unique(items.folds)]))


def _pairs(
    runs: Sequence[ExternalRun], labels: np.ndarray, patients: Sequence[str], alpha: float
) -> tuple[ExternalPair, ...]:
    tests = []
    for first, second in combinations(runs, 2):
        both = np.stack([first.probabilities, second.probabilities])
        areas = delong(labels, both, clusters=np.array(patients))
        tests.append((first.name, second.name, area_test(areas, alpha=alpha)))
    adjusted = holm(np.array([test.p for _, _, test in tests]))
    return tuple(
        ExternalPair(
            first=first,
            second=second,
            difference=(test.difference, test.low, test.high),
            p=test.p,
            p_holm=float(p),
            verdict=verdict(test.difference, float(p), alpha=alpha),
        )
        for (first, second, test), p in zip(tests, adjusted, strict=True)
    )
