"""Shared parts of ordinal losses: conditional logits, cumulative probabilities, checks."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from volbench.interfaces import Problem


def check_ordered(problem: Problem, loss: str) -> None:
    """Refuse classes that are known to have no order.

    Raises:
        ValueError: with the way to say that they have.
    """
    if problem.ordered is False and problem.num_classes > 2:
        raise ValueError(
            f"{loss} is for ordered classes, and the data set does not say that its "
            f"{problem.num_classes} classes are; give it ordered=True"
        )


def from_conditional(
    conditional: Float[Tensor, "item threshold"],
) -> Float[Tensor, "item class"]:
    r"""Turn logits of $P(y > k \mid y \ge k)$ into logarithms of one probability per class.

    $$\log p_k = \log \sigma(-a_k) + \sum_{j < k} \log \sigma(a_j)$$

    >>> from torch import zeros
    >>> from_conditional(zeros(1, 2)).exp().tolist()
    [[0.5, 0.25, 0.25]]
    """
    before = F.pad(F.logsigmoid(conditional).cumsum(dim=1), (1, 0))
    stops = F.pad(F.logsigmoid(-conditional), (0, 1))
    return before + stops


def to_conditional(logits: Float[Tensor, "item class"]) -> Float[Tensor, "item threshold"]:
    """Undo ``from_conditional``; of any other logits, what their softmax implies."""
    above = logits.flip(1).logcumsumexp(dim=1).flip(1)
    return above[:, 1:] - logits[:, :-1]


def cumulative(logits: Float[Tensor, "item class"]) -> Float[Tensor, "item class"]:
    """Probability of each class or a lower one."""
    return logits.softmax(dim=1).cumsum(dim=1)
