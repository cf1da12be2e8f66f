"""Benchmark encoders, slice pooling and losses on anisotropic medical volumes."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_LAZY = ("Runs", "load_runs", "run")
"""Names of volbench.api. It imports torch and pandas, which ``import volbench`` must not do."""

__all__ = ["Runs", "__version__", "load_runs", "run"]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is first used (PEP 562).

    Raises:
        AttributeError: there is no such name.
    """
    if name not in _LAZY:
        raise AttributeError(f"module 'volbench' has no attribute {name!r}")
    return getattr(import_module("volbench.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
