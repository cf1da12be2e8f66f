"""Generalised-mean pooling, GeM (Radenović, Tolias and Chum, TPAMI 2018, arXiv:1711.02512)."""

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from volbench.aggregators.masking import count_slices, fill_padding
from volbench.interfaces import Aggregator
from volbench.types import Embedding, SliceMask, Tokens


class GeM(Aggregator):
    r"""Power mean over slices: the mean at p = 1, the maximum as p grows; p is learned.

    $$e_i = \Bigl( \frac{1}{D} \sum_d \max(x_{id}, \varepsilon)^p \Bigr)^{1/p}$$

    Powers need positive features: smaller ones count as $\varepsilon$. After a ReLU, as in
    volbench's own encoders, none is negative.

    What is stored is $\log p$, so that p stays positive wherever training takes it, and weight
    decay draws it to 1, the mean. Sums are taken of logarithms: no power overflows.

    Args:
        num_features: Length of a token; the result is as long.
        p: Exponent to begin with; above 0. The paper begins with 3.
        learn: Train p, one for all features; False keeps it.
        eps: Smallest feature, in units of features; above 0.

    Raises:
        ValueError: p or eps is not a finite number above 0.
    """

    search_space: ClassVar[Mapping[str, str]] = {
        "p": "loguniform(low=1, high=10)",
        "learn": "choice(among=(True, False))",
    }

    def __init__(
        self, num_features: int, *, p: float = 3.0, learn: bool = True, eps: float = 1e-6
    ) -> None:
        super().__init__()
        for name, value in (("p", p), ("eps", eps)):
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be a finite number above 0, but got {name}={value}")
        self.num_features = num_features
        self.eps = eps
        self.log_p = nn.Parameter(torch.tensor(math.log(p)), requires_grad=learn)

    @property
    def p(self) -> Tensor:
        """The exponent as it is now."""
        return self.log_p.exp()

    def forward(self, tokens: Tokens, mask: SliceMask | None = None) -> Embedding:
        """Pool ``[batch, slice, feature]`` to ``[batch, feature]``."""
        p = self.p
        powers = p * fill_padding(tokens, mask, value=1.0).clamp(min=self.eps).log()
        total = fill_padding(powers, mask, value=-math.inf).logsumexp(dim=1)
        pooled: Tensor = ((total - count_slices(tokens, mask).log()) / p).exp()
        return pooled
