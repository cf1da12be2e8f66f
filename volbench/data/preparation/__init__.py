"""Preparation of a data set: read and preprocess each case once, then pack them into the cache."""

from volbench.data.preparation.prepare_data import default_options, prepare

__all__ = ["default_options", "prepare"]
