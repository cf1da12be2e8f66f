"""All folds of one experiment: planned, run side by side, resumed, recorded."""

from volbench.benchmark.plan import Plan, make_plan
from volbench.benchmark.run import Outcome, run

__all__ = ["Outcome", "Plan", "make_plan", "run"]
