"""Suites: files that list experiments, run together and shown as the tables they define."""

from volbench.suite.expand import Candidate, Suite, Table, load_suite
from volbench.suite.run_suite import Result, SuiteWatcher, plan_suite, run_suite
from volbench.suite.show_suite import show_suite

__all__ = [
    "Candidate",
    "Result",
    "Suite",
    "SuiteWatcher",
    "Table",
    "load_suite",
    "plan_suite",
    "run_suite",
    "show_suite",
]
