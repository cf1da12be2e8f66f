"""All folds of one experiment: planned, run side by side, resumed, recorded."""

from volbench.benchmark.executor import Workers
from volbench.benchmark.plan import Plan, make_plan
from volbench.benchmark.run import Outcome, run
from volbench.benchmark.shared import Shared

__all__ = ["Outcome", "Plan", "Shared", "Workers", "make_plan", "run"]
