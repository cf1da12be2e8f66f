"""Processes that do folds side by side, kept under this name: see `volbench.executors.pool`."""

from volbench.executors.pool import Workers

__all__ = ["Workers"]
