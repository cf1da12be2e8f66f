"""Weighted sum of losses: what ``focal+0.5*triplet`` builds."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from volbench.interfaces import Loss, Problem
from volbench.plugins.registry import losses as registry
from volbench.spec import Sum
from volbench.types import Labels, Output, Scalar


class WeightedSum(Loss):
    r"""Scales each loss by its weight and adds them: $\sum_i w_i L_i$.

    Args:
        weights: One number per loss.
        losses: The losses; their parameters are this loss's too.
        names: What each is called in the history; by default its number, from 1.

    Attributes:
        share: Of a step, that the next batch stands for: with mixup, a step scores two.

    Raises:
        ValueError: there is not one weight for each of at least one loss.
    """

    totals: Tensor
    count: Tensor

    def __init__(
        self, weights: Sequence[float], losses: Sequence[Loss], names: Sequence[str] = ()
    ) -> None:
        super().__init__()
        if not losses or len(weights) != len(losses):
            raise ValueError(
                f"a weighted sum needs one weight for each of at least one loss, "
                f"but got {len(weights)} weights for {len(losses)} losses"
            )
        self.weights = tuple(weights)
        self.losses = nn.ModuleList(losses)
        self.share = 1.0
        self.names = _distinct(names or [str(number) for number in range(1, len(losses) + 1)])
        # On the device, so that keeping account waits for nothing; no part of what is stored.
        self.register_buffer("totals", torch.zeros(len(losses)), persistent=False)
        self.register_buffer("count", torch.zeros(()), persistent=False)

    def forward(self, output: Output, labels: Labels) -> Scalar:
        """Score a batch by every loss."""
        terms = zip(self.weights, self.losses, strict=True)
        each = torch.stack([weight * loss(output, labels) for weight, loss in terms])
        if torch.is_grad_enabled():
            with torch.no_grad():
                self.totals.add_(each, alpha=self.share)
                self.count.add_(self.share)
        return each.sum()

    def take_means(self) -> dict[str, float]:
        """Mean of each weighted term over the steps since this was asked last."""
        *totals, count = torch.cat([self.totals, self.count[None]]).tolist()  # one wait
        means = [value / count if count else 0.0 for value in totals]
        self.totals.zero_()
        self.count.zero_()
        return dict(zip(self.names, means, strict=True))


def build_loss(spec: Sum, problem: Problem) -> Loss:
    """Build what a sum of specs names; always a ``WeightedSum``, of one loss or of more.

    Raises:
        UnknownComponentError: a name that no distribution provides.
        SpecError: options that a loss does not take.
        PluginError: a loss that cannot be imported, or is none.
    """
    return WeightedSum(
        [term.weight for term in spec.terms],
        [registry.build(term.spec, Loss, problem) for term in spec.terms],
        [str(term.spec) for term in spec.terms],
    )


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Tell equal names apart by their number.

    >>> _distinct(["focal", "center", "focal"])
    ('focal', 'center', 'focal 3')
    """
    return tuple(
        f"{name} {number}" if name in names[: number - 1] else name
        for number, name in enumerate(names, start=1)
    )


def terms_that_need_pairs(spec: Sum) -> list[str]:
    """Names of the losses of a sum that are 0 in a batch without two cases of a class.

    A loss says so by ``needs_pairs = True``; one that is not installed says nothing.
    """
    names = [term.spec.name for term in spec.terms]
    return [
        name for name in names if name in registry and getattr(registry[name], "needs_pairs", False)
    ]


def conditional_head(spec: Sum) -> bool:
    """Whether a loss of the sum is made for a head of conditional logits.

    One that is not installed is taken for one that is not: a network is used without its loss, too.
    """
    names = [term.spec.name for term in spec.terms]
    installed = [registry[name] for name in names if name in registry]
    return any(getattr(factory, "conditional_head", False) for factory in installed)
