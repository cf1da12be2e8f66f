"""Leaderboards: comparison of runs with intervals and corrected tests."""

from volbench._utils.renamed_modules import renamed
from volbench.leaderboard.statistics.compare import compare_runs, tables_of
from volbench.leaderboard.statistics.comparison import (
    Candidate,
    Comparison,
    Cost,
    Pair,
    PowerAnalysis,
    Shortcut,
    ShortcutTest,
)
from volbench.leaderboard.statistics.run_scores import Estimate
from volbench.runs.load import LoadedRun, find_runs, load_run

__all__ = [
    "Candidate",
    "Comparison",
    "Cost",
    "Estimate",
    "LoadedRun",
    "Pair",
    "PowerAnalysis",
    "Shortcut",
    "ShortcutTest",
    "compare_runs",
    "find_runs",
    "load_run",
    "tables_of",
]

__getattr__ = renamed(__name__, {"Bar": "ShortcutTest", "Design": "PowerAnalysis"})
