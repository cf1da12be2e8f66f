"""Hyperparameters chosen on inner folds, judged on outer folds that no trial has seen."""

from volbench.tune.outcome import FoldWinner, TuningOutcome, read_outcome, run_line
from volbench.tune.plan import TuningPlan, make_tuning_plan
from volbench.tune.run_tuning import tune
from volbench.tune.settings import Settings
from volbench.tune.worker import TuningWatcher

__all__ = [
    "FoldWinner", "Settings", "TuningOutcome", "TuningPlan", "TuningWatcher", "make_tuning_plan",
    "read_outcome", "run_line", "tune",
]  # fmt: skip
