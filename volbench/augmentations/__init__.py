"""Augmentations: random changes of a batch, on its own device."""
