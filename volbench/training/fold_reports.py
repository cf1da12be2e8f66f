"""What is told of a fold while it trains."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class EpochReport:
    """What is told after every epoch.

    Attributes:
        auc: Of the inner validation part, if any.
        warning: A remark for the user on how this machine trains.
        waiting: Share of the training time in which the device waited for TorchIO's transforms.
        terms: Weighted losses that add up to ``loss``, by their spec.
        validation_loss: Of the inner validation part, if any; classes weigh the same.
        rate: Learning rate of the last step.
        cases_per_second: Training cases, validation left aside.
        memory_mb: Peak so far.
    """

    fold: int
    epoch: int
    epochs: int
    loss: float
    auc: float | None
    warning: str | None = None
    waiting: float = 0.0
    terms: Mapping[str, float] = field(default_factory=dict[str, float])
    validation_loss: float | None = None
    rate: float | None = None
    cases_per_second: float | None = None
    memory_mb: float | None = None


@dataclass(frozen=True)
class StepReport:
    """What is told within an epoch that takes long: steps that were begun.

    Attributes:
        epoch: The one that is trained, counted from 1.
        step: Steps of it so far, of ``steps``.
    """

    fold: int
    epoch: int
    epochs: int
    step: int
    steps: int

    @property
    def share(self) -> float:
        """Part of the epoch that is done."""
        return self.step / self.steps
