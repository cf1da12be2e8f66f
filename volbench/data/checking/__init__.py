"""Validation of a data set before use: unreadable, contradictory and duplicate cases."""
