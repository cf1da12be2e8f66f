"""Weighted sum of losses: what ``focal+0.5*triplet`` builds."""

from collections.abc import Sequence

import torch
from torch import nn

from volbench.interfaces import Loss, Problem
from volbench.plugins.registry import losses as registry
from volbench.spec import Sum
from volbench.types import Labels, Output, Scalar


class WeightedSum(Loss):
    r"""Scales each loss by its weight and adds them: $\sum_i w_i L_i$.

    Args:
        weights: One number per loss.
        losses: The losses; their parameters are this loss's too.

    Raises:
        ValueError: there is not one weight for each of at least one loss.
    """

    def __init__(self, weights: Sequence[float], losses: Sequence[Loss]) -> None:
        super().__init__()
        if not losses or len(weights) != len(losses):
            raise ValueError(
                f"a weighted sum needs one weight for each of at least one loss, "
                f"but got {len(weights)} weights for {len(losses)} losses"
            )
        self.weights = tuple(weights)
        self.losses = nn.ModuleList(losses)

    def forward(self, output: Output, labels: Labels) -> Scalar:
        """Score a batch by every loss."""
        terms = zip(self.weights, self.losses, strict=True)
        return torch.stack([weight * loss(output, labels) for weight, loss in terms]).sum()


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
