"""Prediction of new volumes by the ensemble of the finished folds of a run."""

from volbench.predict.ensemble import Ensemble
from volbench.predict.results import InSample, Predicted

__all__ = ["Ensemble", "InSample", "Predicted"]
