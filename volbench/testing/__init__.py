"""Public contract suites: what a component must fulfil, one class per kind to subclass.

A plugin's whole test file is a subclass with a ``spec``::

    from volbench.testing import AggregatorContract

    class TestLogSumExp(AggregatorContract):
        spec = "lse(r=4)"

They need pytest (``pip install 'volbench[test]'``), so each is imported when it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from volbench.testing.aggregators import AggregatorContract
    from volbench.testing.augmentations import AugmentationContract
    from volbench.testing.datasets import DatasetContract
    from volbench.testing.encoders import EncoderContract
    from volbench.testing.executors import ExecutorContract
    from volbench.testing.losses import LossContract
    from volbench.testing.trackers import TrackerContract

__all__ = [
    "AggregatorContract",
    "AugmentationContract",
    "DatasetContract",
    "EncoderContract",
    "ExecutorContract",
    "LossContract",
    "TrackerContract",
]

CONTRACTS = {
    "encoders": "EncoderContract",
    "aggregators": "AggregatorContract",
    "losses": "LossContract",
    "augmentations": "AugmentationContract",
    "datasets": "DatasetContract",
    "executors": "ExecutorContract",
    "trackers": "TrackerContract",
}
"""The suite of each kind of component."""


def __getattr__(name: str) -> type:
    for kinds, contract in CONTRACTS.items():
        if name == contract:
            suite: type = getattr(import_module(f"volbench.testing.{kinds}"), contract)
            return suite
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
