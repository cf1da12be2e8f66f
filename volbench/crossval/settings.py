"""How a run is trained, whatever it trains: device, folds at a time, checkpoints, shortcuts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from volbench.training.checkpoint import CHECKPOINT_SECONDS
from volbench.training.compile import Compile
from volbench.training.cuda_graphs import Graphs

EXECUTOR = "executor"
"""Folder of a run in which an executor keeps logs, and what it needs to attach again."""

UseFeatures: TypeAlias = Literal["auto", "off"]


@dataclass(frozen=True)
class RunSettings:
    """Options of execution.

    Attributes:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        jobs: Folds at a time; None: one per core on a CPU, what fits and pays on GPUs.
        checkpoint_seconds: Shortest time between two checkpoints of a fold.
        compiled: Whether encoders are compiled.
        graphs: Whether training steps are recorded as CUDA graphs.
        profile: Whether each fold keeps where its time went.
        features: Whether the tokens of a frozen encoder are computed once.
        local_copy: Folder of a machine's own disk that prepared data are copied to.
        track: Specs of the trackers that curves are sent to.
    """

    device: str = "auto"
    jobs: int | None = None
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    compiled: Compile = "auto"
    graphs: Graphs = "auto"
    profile: bool = False
    features: UseFeatures = "auto"
    local_copy: Path | None = None
    track: tuple[str, ...] = ()
