"""Losses and miners of pytorch-metric-learning for volbench."""
