"""Data path: read, check, preprocess, cache, load."""
