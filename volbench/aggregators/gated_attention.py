"""Gated attention (Ilse, Tomczak and Welling, ICML 2018, arXiv:1802.04712)."""

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from volbench.aggregators.masking import fill_padding
from volbench.interfaces import Aggregator
from volbench.types import Embedding, SliceMask, Tokens


class GatedAttention(Aggregator):
    r"""Mean of the tokens, each slice weighted by what a small network makes of it.

    $$e = \sum_d a_d\, x_d, \quad a_d = \frac{\exp s_d}{\sum_{d'} \exp s_{d'}}, \quad
    s_d = w^\top \bigl( \tanh (V x_d + b) \odot \operatorname{sigm} (U x_d + c) \bigr)$$

    These are equations 7 and 9; without the gate, the second factor falls away and they are
    equations 7 and 8. The paper prints no biases b and c, its released code has them. The score
    has none, as the softmax would cancel it.

    Args:
        num_features: Length of a token; the result is as long.
        hidden: Rows of V and of U; the paper has 128.
        gate: Multiply by the sigmoid.

    Raises:
        ValueError: hidden is below 1.

    >>> from torch import ones
    >>> GatedAttention(4, hidden=8)(ones(2, 7, 4)).shape
    torch.Size([2, 4])
    """

    search_space: ClassVar[Mapping[str, str]] = {
        "hidden": "choice(among=(32, 64, 128, 256))",
        "gate": "choice(among=(True, False))",
    }

    def __init__(self, num_features: int, *, hidden: int = 128, gate: bool = True) -> None:
        super().__init__()
        if hidden < 1:
            raise ValueError(f"hidden must be at least 1, but got {hidden=}")
        self.num_features = num_features
        self.content = nn.Linear(num_features, hidden)
        self.gate = nn.Linear(num_features, hidden) if gate else None
        self.score = nn.Linear(hidden, 1, bias=False)

    def forward(self, tokens: Tokens, mask: SliceMask | None = None) -> Embedding:
        """Pool ``[batch, slice, feature]`` to ``[batch, feature]``."""
        weights = self.slice_weights(tokens, mask)[..., None]
        return (weights * fill_padding(tokens, mask, value=0.0)).sum(dim=1)

    def slice_weights(
        self, tokens: Tokens, mask: SliceMask | None = None
    ) -> Float[Tensor, "batch slice"]:
        """Weight of each slice; they add up to 1, and padding has 0."""
        # A softmax turns differences into ratios: under autocast it would see rounded ones.
        with torch.autocast(tokens.device.type, enabled=False):
            real = fill_padding(tokens, mask, value=0.0)
            found = self.content(real).tanh()
            if self.gate is not None:
                found = found * self.gate(real).sigmoid()
            scores = fill_padding(self.score(found), mask, value=-math.inf)
        return scores.squeeze(2).softmax(dim=1)
