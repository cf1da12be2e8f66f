"""What is decided where a fold runs, because only that machine can tell.

A login node has another processor than the nodes, and no GPU. So a fold that goes to other machines
takes along what was asked for; its node resolves the device and the precision, tries bfloat16,
records steps as graphs if it can, and finds or computes the tokens of a frozen encoder.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from volbench.crossval.features import store_for_run
from volbench.crossval.precision_check import check_bfloat16
from volbench.crossval.settings import RunSettings, UseFeatures
from volbench.data.cache.features import StoredFeatures
from volbench.data.cache.packed_voxels import Prepared
from volbench.experiment.experiment import Experiment
from volbench.interfaces import Executor
from volbench.training.compile import Compile, choose_compile
from volbench.training.cuda_graphs import Graphs, choose_graphs
from volbench.training.device_and_precision import Compute, choose_compute


@dataclass(frozen=True)
class OnNode:
    """What was asked for; see `RunSettings`.

    Attributes:
        threads: Cores that the executor allots to a fold; None: all that its process may use.
    """

    device: str
    threads: int | None
    compiled: Compile
    graphs: Graphs
    features: UseFeatures

    @classmethod
    def of(cls, settings: RunSettings, executor: Executor) -> "OnNode":
        """What the tasks of an executor on other machines take along.

        A task that reserves GPUs uses one, and fails where there is none: on a CPU it would take
        days in silence.
        """
        device = "cuda" if settings.device == "auto" and executor.gpus else settings.device
        return cls(
            device=device,
            threads=math.ceil(executor.cpus) or None,
            compiled=settings.compiled,
            graphs=settings.graphs,
            features="off" if settings.profile else settings.features,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "OnNode":
        """What `to_json` wrote."""
        return cls(**values)

    def choose(self, precision: str) -> Compute:
        """Resolve device, precision and graphs on this machine.

        Raises:
            UsageError: the device is not there, or has no compiler.
        """
        compute = choose_compute(self.device, precision, jobs=1)
        compiled = choose_compile(self.compiled, compute.device)
        return replace(
            compute,
            threads=self.threads or compute.threads,
            compiled=compiled,
            graphs=choose_graphs(self.graphs, compute.device, compiled=compiled),
        )


_DECIDED: dict[tuple[object, ...], tuple[Compute, tuple[str, ...]]] = {}


def decide(
    experiment: Experiment, prepared: Prepared, compute: Compute, *, features: UseFeatures
) -> tuple[Compute, StoredFeatures | None, tuple[str, ...]]:
    """Try bfloat16 on this machine, and find or compute the tokens of a frozen encoder.

    A process tries once what several folds, or trials of a search, have in common.

    Returns:
        How to compute, the tokens, and remarks for the user.
    """
    training = experiment.recipe.training
    sizes = (prepared.folder, training.batch_size, training.augmentation)
    key = (str(experiment.encoder), *sizes, compute)
    if key not in _DECIDED:
        chosen, faults = check_bfloat16(experiment, prepared, compute)
        _DECIDED[key] = chosen, tuple(faults)
    chosen, notes = _DECIDED[key]
    stored: StoredFeatures | None = None
    if features == "auto":
        stored, reason = store_for_run(experiment, prepared, chosen)
        notes = notes if reason is None else (*notes, reason)
    return chosen, stored, notes
