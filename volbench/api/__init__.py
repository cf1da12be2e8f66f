"""What a Python user starts from: runs as tidy pandas frames, and one call that makes a run."""

from volbench.api.runs import Runs, load_runs
from volbench.api.train import run

__all__ = ["Runs", "load_runs", "run"]
