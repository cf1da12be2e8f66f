"""Cross-validation of one experiment: plan, run, resume and record all folds."""

from volbench._utils.lazy import lazy_attributes

_SOURCES = {
    **dict.fromkeys(("Plan", "make_plan"), "volbench.crossval.plan"),
    "Outcome": "volbench.crossval.open_run",
    "run": "volbench.crossval.run_cross_validation",
    "Shared": "volbench.crossval.shared_inputs",
    "Workers": "volbench.crossval.workers",
}
"""Imported when used: a process that trains a fold plans none."""

__getattr__, __dir__ = lazy_attributes(__name__, _SOURCES)
