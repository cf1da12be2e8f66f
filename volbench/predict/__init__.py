"""Predicting new volumes with a run's networks: every finished fold votes, the spread is kept."""

from volbench.predict.ensemble import Ensemble
from volbench.predict.results import InSample, Predicted

__all__ = ["Ensemble", "InSample", "Predicted"]
