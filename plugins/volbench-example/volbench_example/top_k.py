"""Mean of the k largest (Durand, Thome and Cord, WELDON, CVPR 2016, doi:10.1109/CVPR.2016.513)."""

import math
from collections.abc import Mapping
from typing import ClassVar

from volbench.interfaces import Aggregator
from volbench.types import Embedding, SliceMask, Tokens


class TopK(Aggregator):
    """Mean of each feature over the k slices where it is largest: k = 1 is the maximum.

    A case with fewer slices than k is averaged over all of them.

    Args:
        num_features: Length of a token; the result is as long.
        k: Slices that count.

    Raises:
        ValueError: k is not above 0.

    >>> import torch
    >>> tokens = torch.tensor([[[1.0], [5.0], [3.0], [9.0]]])
    >>> TopK(1, k=2)(tokens, torch.tensor([[True, True, True, False]]))
    tensor([[4.]])
    """

    search_space: ClassVar[Mapping[str, str]] = {"k": "integer(low=1, high=8)"}

    def __init__(self, num_features: int, *, k: int = 3) -> None:
        super().__init__()
        if k < 1:
            raise ValueError(f"k must be above 0, but got {k=}")
        self.num_features, self.k = num_features, k

    def forward(self, tokens: Tokens, mask: SliceMask | None = None) -> Embedding:
        """Pool ``[batch, slice, feature]``; the mask is False where a slice is padding."""
        if mask is not None:  # padding is never among the largest
            tokens = tokens.masked_fill(~mask[..., None], -math.inf)
        largest = tokens.topk(min(self.k, tokens.shape[1]), dim=1).values
        real = largest > -math.inf
        return largest.where(real, 0.0).sum(dim=1) / real.sum(dim=1)
