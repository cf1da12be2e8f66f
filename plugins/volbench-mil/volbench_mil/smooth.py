"""Sm, smooth pooling of neighbouring slices (Castro-Macías et al., NeurIPS 2024, arXiv:2410.03276).

The modules are those of torchmil (Castro-Macías et al., 2025), which an extra installs,
``pip install 'volbench-mil[torchmil]'``. Their graph joins each slice with the one
before and the one after it.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from volbench.aggregators.masking import fill_padding
from volbench.errors import SpecError
from volbench.interfaces import Aggregator
from volbench.types import Embedding, SliceMask, Tokens

Adjacency = Float[Tensor, "batch slice slice"]


class SmoothAttention(Aggregator):
    r"""Attention whose scores, or tokens, are smoothed over neighbouring slices.

    $$e = \sum_d \operatorname{softmax}_d(w^\top \operatorname{gelu}(V \tilde x_d))\, \tilde x_d,
    \qquad \tilde x = \operatorname{Sm}(x)$$

    where $\operatorname{Sm}$ repeats $g \leftarrow \alpha (I - L)\, g + (1 - \alpha)\, x$ with the
    Laplacian $L$ of the chain of slices, and $\alpha$ is learned.

    Args:
        num_features: Length of a token; the result is as long.
        hidden: Length of the projection $V$.
        where: What is smoothed: the tokens (``early``), their projections (``mid``) or the scores
            (``late``).
        steps: How often; so many slices far it reaches.

    Raises:
        SpecError: torchmil is not installed.
        ValueError: hidden or steps is below 1.
    """

    search_space: ClassVar[Mapping[str, str]] = {
        "hidden": "choice(among=(64, 128, 256))",
        "where": 'choice(among=("early", "mid", "late"))',
    }

    def __init__(
        self,
        num_features: int,
        *,
        hidden: int = 128,
        where: Literal["early", "mid", "late"] = "early",
        steps: int = 10,
    ) -> None:
        super().__init__()
        _check(hidden=hidden, steps=steps)
        self.num_features = num_features
        self.pool: nn.Module = _torchmil("sm_attention").SmAttentionPool(
            num_features, att_dim=hidden, sm_where=where, sm_steps=steps, spectral_norm=False
        )

    def forward(self, tokens: Tokens, mask: SliceMask | None = None) -> Embedding:
        """Pool ``[batch, slice, feature]`` to ``[batch, feature]``."""
        tokens, mask, neighbours = _chained(tokens, mask)
        with torch.autocast(tokens.device.type, enabled=False):
            pooled: Tensor = self.pool(tokens, neighbours, mask)
        return pooled


class SmoothTransformer(Aggregator):
    """A transformer whose attention is smoothed over neighbouring slices, then smooth attention.

    Args:
        num_features: Length of a token; the result is as long.
        hidden: Length of queries, keys and values, a multiple of heads.
        heads: Attention heads.
        layers: Transformer layers.
        steps: Steps of each smoothing; so many slices far it reaches.

    Raises:
        SpecError: torchmil is not installed.
        ValueError: an option is below 1, or hidden is no multiple of heads.
    """

    search_space: ClassVar[Mapping[str, str]] = {
        "hidden": "choice(among=(64, 128, 256))",
        "layers": "integer(low=1, high=3)",
    }

    def __init__(
        self,
        num_features: int,
        *,
        hidden: int = 128,
        heads: int = 4,
        layers: int = 1,
        steps: int = 10,
    ) -> None:
        super().__init__()
        _check(hidden=hidden, heads=heads, layers=layers, steps=steps)
        if hidden % heads:
            raise ValueError(f"hidden must be a multiple of heads, but got {hidden=} and {heads=}")
        self.num_features = num_features
        torchmil = _torchmil("sm_transformer")
        self.encoder: nn.Module = torchmil.SmTransformerEncoder(
            num_features, att_dim=hidden, n_heads=heads, n_layers=layers, sm_steps=steps
        )
        self.pool: nn.Module = torchmil.SmAttentionPool(
            num_features, att_dim=hidden, sm_where="early", sm_steps=steps
        )

    def forward(self, tokens: Tokens, mask: SliceMask | None = None) -> Embedding:
        """Pool ``[batch, slice, feature]`` to ``[batch, feature]``."""
        tokens, mask, neighbours = _chained(tokens, mask)
        with torch.autocast(tokens.device.type, enabled=False):
            encoded = fill_padding(self.encoder(tokens, neighbours, mask), mask, value=0.0)
            pooled: Tensor = self.pool(encoded, neighbours, mask)
        return pooled


def _torchmil(name: str) -> Any:
    if find_spec("torchmil") is None:
        raise SpecError(f"{name} needs torchmil; install it: pip install 'volbench-mil[torchmil]'")
    from torchmil import nn as torchmil

    return torchmil


def _check(**options: int) -> None:
    for name, value in options.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, but got {name}={value}")


def _chained(tokens: Tokens, mask: SliceMask | None) -> tuple[Tokens, SliceMask, Adjacency]:
    r"""Tokens without padding, the mask, and $D^{-1/2} A D^{-1/2}$ of the chain of real slices.

    Where a slice is hidden in the middle, those beside it are neighbours. A slice without any is
    its own, so that smoothing leaves it as it is.
    """
    if mask is None:
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
    tokens = fill_padding(tokens, mask, value=0.0)
    place = mask.cumsum(dim=1)
    beside = (place[:, :, None] - place[:, None, :]).abs() == 1
    links = (beside & mask[:, :, None] & mask[:, None, :]).to(tokens.dtype)
    links = links + (links.sum(dim=2) == 0).to(tokens.dtype).diag_embed()
    scale = links.sum(dim=2).rsqrt()
    return tokens, mask, links * scale[:, :, None] * scale[:, None, :]
