"""Losses that train nothing, or are no numbers: what is warned of, and what ends a fold."""

import math
from collections.abc import Mapping, Sequence

from torch import nn

from volbench.errors import TrainingError
from volbench.losses.weighted_sum import WeightedSum

LOSS_TERM = "train_loss "
"""Stands before the name of each term of a sum in the history."""


def inactive(terms: Mapping[str, float], before: Sequence[Mapping[str, float]]) -> str | None:
    """Warn of a term of the loss that was 0 in every epoch so far, or is no number in the last.

    A term that was more than 0 once has trained: what it asks for, such as a margin, is met now.

    Args:
        terms: Means of the last epoch.
        before: The history until then.

    >>> inactive({"focal": 0.4, "triplet": 0.0}, []).partition(";")[0]
    'the loss triplet was 0 in every batch so far'
    >>> inactive({"focal": 0.4, "triplet": 0.0}, [{"epoch": 1, "train_loss triplet": 0.1}])
    """
    for name, value in terms.items():
        if not math.isfinite(value):
            return f"the loss {name} was {value} in an epoch; lower optimizer.lr"
        key = f"{LOSS_TERM}{name}" if len(terms) > 1 else "train_loss"
        if not value and not any(row.get(key, 0.0) for row in before):
            return (
                f"the loss {name} was 0 in every batch so far; while it is, it trains nothing "
                "(a larger training.batch_size or another margin may help)"
            )
    return None


class NotFiniteError(TrainingError):
    """A loss or a prediction is no number: steps that are too large, or a component's doing.

    Attributes:
        epoch: The one whose batches it came of, counted from 1.
    """

    def __init__(self, message: str, epoch: int) -> None:
        super().__init__(message)
        self.epoch = epoch


def take_terms(criterion: nn.Module) -> dict[str, float]:
    """Mean of each term of a sum since this was asked last; nothing for a loss that is no sum."""
    return criterion.take_means() if isinstance(criterion, WeightedSum) else {}


def not_finite(mean: float, epoch: int, terms: Mapping[str, float], clip_norm: float) -> str:
    """Name the terms that are no numbers, and what takes smaller steps.

    >>> not_finite(math.nan, 3, {"focal": 0.4, "triplet": math.nan}, 1.0)
    'the loss became nan in epoch 3 (triplet); lower optimizer.lr, or training.clip_norm (now 1)'
    """
    odd = ", ".join(name for name, value in terms.items() if not math.isfinite(value))
    what = f"the loss became {mean} in epoch {epoch}{f' ({odd})' if odd else ''}"
    return f"{what}; {gentler(clip_norm)}"


def gentler(clip_norm: float) -> str:
    """Say what makes steps smaller: a lower bound of the gradient's norm, where there is one.

    >>> gentler(0.0)
    'lower optimizer.lr, or clip gradients (training.clip_norm=1)'
    """
    if clip_norm:
        return f"lower optimizer.lr, or training.clip_norm (now {clip_norm:g})"
    return "lower optimizer.lr, or clip gradients (training.clip_norm=1)"
