"""From run folders to a table that does not overclaim."""

from volbench.leaderboard.statistics.compare import compare_runs, tables_of
from volbench.leaderboard.statistics.comparison import Candidate, Comparison
from volbench.leaderboard.statistics.findings import Bar, Cost, Design, Estimate, Pair, Shortcut
from volbench.runs.load import LoadedRun, find_runs, load_run

__all__ = [
    "Bar",
    "Candidate",
    "Comparison",
    "Cost",
    "Design",
    "Estimate",
    "LoadedRun",
    "Pair",
    "Shortcut",
    "compare_runs",
    "find_runs",
    "load_run",
    "tables_of",
]
