"""Benchmark encoders, slice pooling and losses on anisotropic medical volumes.

>>> import volbench
>>> volbench.list("aggregators").names[:3]
('attention', 'average', 'bilinear')
>>> outcome = volbench.run(encoder="rmc5", aggregator="bilinear", loss="focal")  # doctest: +SKIP
>>> volbench.load_runs("runs").leaderboard  # doctest: +SKIP
"""

from types import ModuleType

from volbench._utils.lazy import lazy_attributes
from volbench._utils.logs import start_logging
from volbench._utils.renamed_modules import keep_old_paths

__version__ = "0.1.0"

_SOURCES = {
    **dict.fromkeys(("Runs", "load_runs"), "volbench._api.runs"),
    "load_prepared": "volbench._api.prepared",
    "run": "volbench._api.run",
    "Ensemble": "volbench.predict",
    "compare": "volbench._api.compare",
    "info": "volbench._api.info",
    "list": "volbench._api.listing:list_components",
    "plot": "volbench.plot",
    **dict.fromkeys(
        ("Aggregator", "Augmentation", "Dataset", "Encoder", "Loss"), "volbench.interfaces"
    ),
    "VolbenchError": "volbench.errors",
}
"""Most of these import torch and pandas, which ``import volbench`` must not do."""

__all__ = [
    "Aggregator",
    "Augmentation",
    "Dataset",
    "Encoder",
    "Ensemble",
    "Loss",
    "Runs",
    "VolbenchError",
    "__version__",
    "compare",
    "info",
    "load_prepared",
    "load_runs",
    "plot",
    "run",
]
"""``volbench.list`` is left out: a star import must not take the place of Python's ``list``."""

__getattr__, _listed = lazy_attributes(__name__, _SOURCES)


def __dir__() -> list[str]:
    modules = (name for name, value in globals().items() if isinstance(value, ModuleType))
    own = (name for name in globals() if name.startswith("__"))
    return sorted({*own, *_listed(), *(name for name in modules if not name.startswith("_"))})


start_logging()
keep_old_paths()
