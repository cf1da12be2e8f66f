"""Metrics of held-out predictions, computed from labels and probabilities."""

from volbench.evaluation.metrics.arrays import LabelArray, ProbabilityArray, Threshold
from volbench.evaluation.metrics.calibration import (
    ReliabilityBin,
    balanced_log_loss,
    brier,
    calibration_error,
    log_loss,
    reliability_bins,
)
from volbench.evaluation.metrics.decisions import Confusion, confusion, predicted_class
from volbench.evaluation.metrics.metric import Metric
from volbench.evaluation.metrics.named import METRICS, metrics_for, score
from volbench.evaluation.metrics.ranking import (
    RocCurve,
    area_under_curve,
    average_precision,
    roc_curve,
    sensitivity_at_specificity,
    specificity_at_sensitivity,
)
from volbench.evaluation.metrics.thresholds import ThresholdRule

__all__ = [
    "METRICS",
    "Confusion",
    "LabelArray",
    "Metric",
    "ProbabilityArray",
    "ReliabilityBin",
    "RocCurve",
    "Threshold",
    "ThresholdRule",
    "area_under_curve",
    "average_precision",
    "balanced_log_loss",
    "brier",
    "calibration_error",
    "confusion",
    "log_loss",
    "metrics_for",
    "predicted_class",
    "reliability_bins",
    "roc_curve",
    "score",
    "sensitivity_at_specificity",
    "specificity_at_sensitivity",
]
