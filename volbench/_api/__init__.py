"""The Python interface behind ``volbench.run``, ``volbench.compare`` and ``volbench.load_runs``."""

from volbench._api.compare import compare
from volbench._api.prepared import PreparedData, load_prepared
from volbench._api.run import run
from volbench._api.runs import Runs, load_runs

__all__ = ["PreparedData", "Runs", "compare", "load_prepared", "load_runs", "run"]
