"""From run folders to a table that does not overclaim."""

from volbench.leaderboard.runs import LoadedRun, find_runs, load_run
from volbench.leaderboard.table import comparable, fold_scores, leaderboard

__all__ = ["LoadedRun", "comparable", "find_runs", "fold_scores", "leaderboard", "load_run"]
