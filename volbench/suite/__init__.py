"""Suites: files that define experiments and the tables that show them."""

from volbench._utils.renamed_modules import renamed
from volbench.suite.expand import Suite, SuiteCandidate, Table, load_suite, load_suites
from volbench.suite.run_suite import Result, SuiteCallback, plan_suite, run_suite
from volbench.suite.show_suite import show_suite, show_suites

__all__ = [
    "Result",
    "Suite",
    "SuiteCallback",
    "SuiteCandidate",
    "Table",
    "load_suite",
    "load_suites",
    "plan_suite",
    "run_suite",
    "show_suite",
    "show_suites",
]

__getattr__ = renamed(__name__, {"SuiteWatcher": "SuiteCallback"})
