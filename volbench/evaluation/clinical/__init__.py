"""What a probability is worth at the bedside: pure functions of labels and probabilities.

Two classes, of which the second is the positive one; labels are 0 and 1, probabilities those of the
second class.
"""

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

__all__ = [
    "CalibrationLine",
    "RiskCoverage",
    "SubgroupGap",
    "calibration_line",
    "conformal_sets",
    "coverage_by_class",
    "expected_cost",
    "largest_gap",
    "net_benefit",
    "predictive_values",
    "recalibrated",
    "risk_coverage",
]
