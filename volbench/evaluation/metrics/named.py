"""Registry of metrics by name."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from types import MappingProxyType

from volbench.evaluation.metrics import calibration, decisions, ordinal, ranking
from volbench.evaluation.metrics.arrays import LabelArray, ProbabilityArray, Threshold
from volbench.evaluation.metrics.metric import Metric, of_decisions, of_probabilities
from volbench.runs.predictions_file import Grades

HIGH = 0.9
"""Specificity at which the sensitivity is given, and the other way round."""


@cache
def recall_of(name: str, index: int) -> Metric:
    """Recall of a class: of two, the second's is the sensitivity, the first's the specificity."""
    return Metric(
        name=f"recall_{name}",
        heading=f"recall {name}",
        formula="items of the class that are decided for it / items of the class",
        source="Altman and Bland 1994a",
        compute=of_decisions(lambda table: decisions.recall(table, index)),
        percent=True,
        needs_threshold=True,
        headline=True,
    )


@cache
def precision_of(name: str, index: int) -> Metric:
    """Precision of a class: of two, the second's is the positive predictive value."""
    return Metric(
        name=f"precision_{name}",
        heading=f"precision {name}",
        formula="right decisions for the class / decisions for the class",
        source="Altman and Bland 1994b",
        compute=of_decisions(lambda table: decisions.precision(table, index)),
        percent=True,
        needs_threshold=True,
    )


@cache
def sensitivity_at(specificity: float) -> Metric:
    """Sensitivity at a fixed specificity; its name holds the specificity."""
    return Metric(
        name=f"sensitivity_at_specificity_{specificity:g}",
        heading=f"sens at spec {specificity:g}",
        formula="best sensitivity of the ROC points with at least this specificity",
        source="ours: achieved points, no interpolation",
        compute=of_probabilities(
            lambda labels, found: ranking.sensitivity_at_specificity(labels, found, specificity)
        ),
        percent=True,
    )


@cache
def specificity_at(sensitivity: float) -> Metric:
    """Specificity at a fixed sensitivity; its name holds the sensitivity."""
    return Metric(
        name=f"specificity_at_sensitivity_{sensitivity:g}",
        heading=f"spec at sens {sensitivity:g}",
        formula="best specificity of the ROC points with at least this sensitivity",
        source="ours: achieved points, no interpolation",
        compute=of_probabilities(
            lambda labels, found: ranking.specificity_at_sensitivity(labels, found, sensitivity)
        ),
        percent=True,
    )


_ALL = (
    Metric(
        name="auc",
        heading="AUC",
        formula="pairs of a positive and a negative item in the right order, ties by half / pairs",
        source="Hanley and McNeil 1982",
        compute=of_probabilities(ranking.area_under_curve),
        headline=True,
    ),
    Metric(
        name="accuracy",
        heading="acc",
        formula="right decisions / items",
        source="by definition",
        compute=of_decisions(decisions.accuracy),
        percent=True,
        needs_threshold=True,
        headline=True,
    ),
    Metric(
        name="balanced_accuracy",
        heading="bal acc",
        formula="mean of the recalls of all classes",
        source="Brodersen et al. 2010",
        compute=of_decisions(decisions.balanced_accuracy),
        percent=True,
        needs_threshold=True,
    ),
    Metric(
        name="f1",
        heading="F1",
        formula="2 TP / (2 TP + FP + FN)",
        source="van Rijsbergen 1979",
        compute=of_decisions(decisions.f1),
        needs_threshold=True,
    ),
    Metric(
        name="mcc",
        heading="MCC",
        formula="(TP TN - FP FN) / sqrt((TP + FP) (TP + FN) (TN + FP) (TN + FN))",
        source="Matthews 1975; Gorodkin 2004",
        compute=of_decisions(decisions.matthews),
        range=(-1.0, 1.0),
        needs_threshold=True,
    ),
    Metric(
        name="average_precision",
        heading="AP",
        formula="sum over the ROC points of recall gained x precision there",
        source="scikit-learn",
        compute=of_probabilities(ranking.average_precision),
    ),
    Metric(
        name="brier",
        heading="Brier",
        formula="mean of (probability of the second class - 1 if it is that class, else 0)^2",
        source="Brier 1950",
        compute=of_probabilities(calibration.brier),
        higher_is_better=False,
    ),
    Metric(
        name="ece",
        heading="ECE",
        formula="sum over 10 bins of items / n x abs(share right - mean probability)",
        source="Guo et al. 2017",
        compute=of_probabilities(calibration.calibration_error),
        higher_is_better=False,
    ),
    Metric(
        name="log_loss",
        heading="log loss",
        formula="mean of -ln(probability of the true class, at least 1.19e-7)",
        source="Good 1952",
        compute=of_probabilities(calibration.log_loss),
        range=(0.0, -math.log(calibration.LEAST_PROBABILITY)),
        higher_is_better=False,
    ),
)

METRICS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in _ALL})
"""The metrics that need neither the name of a class nor a fixed rate."""


@cache
def _of_grades(grades: int) -> tuple[Metric, ...]:
    """Metrics of ordered classes."""
    return (
        Metric(
            name="quadratic_kappa",
            heading="QWK",
            formula="1 - sum of (true - decided grade)^2 / the same expected by chance",
            source="Cohen 1968",
            compute=of_decisions(ordinal.quadratic_weighted_kappa),
            range=(-1.0, 1.0),
            needs_threshold=True,
        ),
        Metric(
            name="grade_error",
            heading="MAE grades",
            formula="mean of abs(true - decided grade)",
            source="by definition",
            compute=of_decisions(ordinal.mean_absolute_error),
            range=(0.0, float(grades - 1)),
            higher_is_better=False,
            needs_threshold=True,
        ),
        Metric(
            name="ordinal_c_index",
            heading="ord C",
            formula="pairs of grades in the order of expected grades / pairs, ties by half",
            source="Harrell 1982, on expected grades",
            compute=of_probabilities(ordinal.ordinal_c_index),
        ),
    )


def metrics_for(
    classes: Sequence[str], *, at: float = HIGH, ordered: bool = False
) -> dict[str, Metric]:
    """Name every metric that is defined for these classes, in the order of a table.

    Args:
        classes: Names of the classes. Recall and precision exist once for each, as
            ``recall_<class>``; sensitivity at a fixed specificity exists for two classes only.
        at: That specificity, or sensitivity.
        ordered: Whether the classes are grades, from low to high, as ``Grades`` are anyhow:
            several then have metrics of their own.
    """
    two = len(classes) == 2
    ordered = ordered or isinstance(classes, Grades)
    each = list(enumerate(classes))
    brier = METRICS["brier"]
    found = [
        METRICS["auc"],
        METRICS["accuracy"],
        *(recall_of(name, index) for index, name in each),
        METRICS["balanced_accuracy"],
        *(precision_of(name, index) for index, name in each),
        METRICS["f1"],
        METRICS["mcc"],
        METRICS["average_precision"],
        *((sensitivity_at(at), specificity_at(at)) if two else ()),
        brier if two else replace(brier, range=(0.0, 2.0)),
        METRICS["ece"],
        METRICS["log_loss"],
        *(_of_grades(len(classes)) if ordered and not two else ()),
    ]
    return {metric.name: metric for metric in found}


def score(
    labels: LabelArray,
    probabilities: ProbabilityArray,
    classes: Sequence[str],
    *,
    threshold: Threshold = 0.5,
    at: float = HIGH,
    ordered: bool = False,
) -> dict[str, float]:
    """Compute every metric of one set of predictions.

    Args:
        labels: Index of the true class.
        probabilities: One column per class.
        classes: Names of the classes, for the keys ``recall_<class>`` and ``precision_<class>``.
        threshold: From which on an item is called the second of two classes.
        at: Specificity at which the sensitivity is given, and the other way round.
        ordered: Whether the classes are grades.
    """
    return {
        name: metric(labels, probabilities, threshold)
        for name, metric in metrics_for(classes, at=at, ordered=ordered).items()
    }
