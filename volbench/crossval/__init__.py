"""Cross-validation of one experiment: plan, run, resume and record all folds."""

from volbench.crossval.plan import Plan, make_plan
from volbench.crossval.run import Outcome, run
from volbench.crossval.shared_inputs import Shared
from volbench.crossval.workers import Workers

__all__ = ["Outcome", "Plan", "Shared", "Workers", "make_plan", "run"]
