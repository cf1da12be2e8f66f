"""Log-sum-exp pooling (Pinheiro and Collobert, CVPR 2015, arXiv:1411.6228)."""

import math
from collections.abc import Mapping
from typing import ClassVar

from volbench.aggregators.masking import count_slices, fill_padding
from volbench.interfaces import Aggregator
from volbench.types import Embedding, SliceMask, Tokens


class LogSumExp(Aggregator):
    r"""Smooth maximum over slices: near the mean for small r, near the maximum for large r.

    $$e_i = \frac{1}{r} \log \Bigl( \frac{1}{D} \sum_d \exp (r\, x_{id}) \Bigr)$$

    Args:
        num_features: Length of a token; the result is as long.
        r: How close to the maximum; above 0.

    Raises:
        ValueError: r is not a finite number above 0.
    """

    search_space: ClassVar[Mapping[str, str]] = {"r": "loguniform(low=0.1, high=20)"}

    def __init__(self, num_features: int, *, r: float = 1.0) -> None:
        super().__init__()
        if not 0 < r < math.inf:
            raise ValueError(f"r must be a finite number above 0, but got {r=}")
        self.num_features = num_features
        self.r = r

    def forward(self, tokens: Tokens, mask: SliceMask | None = None) -> Embedding:
        """Pool ``[batch, slice, feature]`` to ``[batch, feature]``."""
        total = (self.r * fill_padding(tokens, mask, value=-math.inf)).logsumexp(dim=1)
        return (total - count_slices(tokens, mask).log()) / self.r
