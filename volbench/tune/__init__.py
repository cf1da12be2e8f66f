"""Nested hyperparameter tuning: inner folds choose, outer folds judge."""

from volbench._utils.renamed_modules import renamed
from volbench.tune.outcome import FoldWinner, TuningOutcome, read_outcome, run_line
from volbench.tune.plan import TuningPlan, make_tuning_plan
from volbench.tune.run_tuning import tune
from volbench.tune.settings import Settings
from volbench.tune.worker import TuningCallback

__all__ = [
    "FoldWinner",
    "Settings",
    "TuningCallback",
    "TuningOutcome",
    "TuningPlan",
    "make_tuning_plan",
    "read_outcome",
    "run_line",
    "tune",
]

__getattr__ = renamed(__name__, {"TuningWatcher": "TuningCallback"})
