"""Aggregators: tokens to one vector per case."""
