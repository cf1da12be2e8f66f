"""Aggregators from multiple-instance learning: a case is a bag, its slices are the instances."""
