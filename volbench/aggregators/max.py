"""Maximum over slices, per feature.

Source: one of the four ways to pool that Lee et al., MICCAI 2022, compare.
"""

import math

from volbench.aggregators.masking import fill_padding
from volbench.interfaces import Aggregator
from volbench.types import Embedding, SliceMask, Tokens


class Max(Aggregator):
    r"""Largest value of each feature over the real tokens: $e_i = \max_d x_{id}$.

    Slices that tie share the gradient evenly.

    Args:
        num_features: Length of a token; the result is as long.

    >>> from torch import tensor
    >>> Max(1)(tensor([[[1.0], [3.0], [8.0]]]), tensor([[True, True, False]]))
    tensor([[3.]])
    """

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, tokens: Tokens, mask: SliceMask | None = None) -> Embedding:
        """Pool ``[batch, slice, feature]`` to ``[batch, feature]``."""
        return fill_padding(tokens, mask, value=-math.inf).amax(dim=1)
