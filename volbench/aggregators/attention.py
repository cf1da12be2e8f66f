"""Attention without parameters (Lee et al., MICCAI 2022, equations 4 and 5)."""

import math

from jaxtyping import Float
from torch import Tensor

from volbench.aggregators.masking import fill_padding
from volbench.interfaces import Aggregator
from volbench.types import Embedding, SliceMask, Tokens


class Attention(Aggregator):
    r"""Each feature is averaged over slices, weighted by its own softmax over slices.

    $$e_i = \sum_d A(i, d)\, x_{id}, \quad A(i, d) = \frac{\exp x_{id}}{\sum_{d'} \exp x_{id'}}$$

    The weights differ from feature to feature and come from the features alone: there is nothing
    to learn, and the result lies between the mean and the maximum.

    Args:
        num_features: Length of a token; the result is as long.

    >>> from torch import tensor
    >>> Attention(1)(tensor([[[0.0], [1.0]]])).item()  # between mean and maximum
    0.7310585975646973
    """

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, tokens: Tokens, mask: SliceMask | None = None) -> Embedding:
        """Pool ``[batch, slice, feature]`` to ``[batch, feature]``."""
        weight = _weights(tokens, mask)
        # A padded token's weight is zero, but zero times infinity is not.
        return (weight * fill_padding(tokens, mask, value=0.0)).sum(dim=1)

    def slice_weights(
        self, tokens: Tokens, mask: SliceMask | None = None
    ) -> Float[Tensor, "batch slice"]:
        """Weight of each slice, the mean over features; for those who want to see it."""
        return _weights(tokens, mask).mean(dim=2)


def _weights(tokens: Tokens, mask: SliceMask | None) -> Float[Tensor, "batch slice feature"]:
    return fill_padding(tokens, mask, value=-math.inf).softmax(dim=1)
