"""How the trainings of a search are executed, whatever candidate they train."""

from dataclasses import dataclass
from pathlib import Path

from volbench.crossval.fold_task import Task
from volbench.crossval.on_node import OnNode
from volbench.experiment.experiment import Experiment
from volbench.experiment.splits import FoldPartition
from volbench.training.checkpoint import CHECKPOINT_SECONDS
from volbench.training.device_and_precision import Compute


@dataclass(frozen=True)
class Execution:
    """Options of execution, of inner folds and of winners.

    Each candidate is another experiment, so the process that trains it tries its precision, and
    finds or computes the tokens of its encoder if that is frozen.

    Attributes:
        compute: Device, precision and threads.
        checkpoint_seconds: Shortest time between two checkpoints of a training.
        local_copy: Folder of a machine's own disk that the prepared data are copied to.
    """

    compute: Compute
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    local_copy: Path | None = None

    def task(
        self, experiment: Experiment, prepared: Path, run: Path, fold: int, part: FoldPartition
    ) -> Task:
        """One training as a task."""
        return Task(
            experiment=experiment,
            prepared=prepared,
            run=run,
            fold=fold,
            part=part,
            compute=OnNode(
                device=self.compute.device,
                threads=self.compute.threads,
                compiled="off",
                graphs="auto",
                features="auto",
            ),
            checkpoint_seconds=self.checkpoint_seconds,
            local_copy=self.local_copy,
        )
