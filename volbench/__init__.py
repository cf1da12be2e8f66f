"""Benchmark encoders, slice pooling and losses on anisotropic medical volumes."""

__version__ = "0.1.0"
