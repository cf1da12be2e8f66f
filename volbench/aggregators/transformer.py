"""Transformer over slices, as in the Medical Slice Transformer (Müller-Franzes et al., 2024).

The paper: arXiv:2411.15802. Attention: Vaswani et al., 2017, arXiv:1706.03762; normalisation before
each sublayer: Xiong et al., 2020, arXiv:2002.04745.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from einops import repeat
from jaxtyping import Bool, Float
from torch import Tensor, nn

from volbench.aggregators.masking import count_slices, fill_padding
from volbench.aggregators.positions import Kind, build_positions
from volbench.interfaces import Aggregator
from volbench.types import SliceMask, Tokens

Attention = Float[Tensor, "batch query key"]


class Block(nn.Module):
    """Self-attention, then a layer as wide as the tokens; each is added to what came in.

    Args:
        width: Length of a token.
        heads: Attention heads.
        dropout: Share of weights and of features that is left out in training.
    """

    def __init__(self, width: int, *, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.layer_norm = nn.LayerNorm(width)
        self.layer = nn.Sequential(
            nn.Linear(width, width), nn.GELU(), nn.Dropout(dropout), nn.Linear(width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, tokens: Tokens, padding: Bool[Tensor, "batch slice"]
    ) -> tuple[Tokens, Attention]:
        """Return the tokens, and how much each attended to each: the mean over heads."""
        seen = self.attention_norm(tokens)
        found, attention = self.attention(seen, seen, seen, key_padding_mask=padding)
        tokens = tokens + self.dropout(found)
        return tokens + self.dropout(self.layer(self.layer_norm(tokens))), attention


class Transformer(Aggregator):
    """Slices attend to one another; a class token, or their mean, is the result.

    Tokens are projected to ``width``, so that any encoder goes with any number of heads. One layer,
    a feed-forward layer no wider than the tokens and no dropout are what the Medical Slice
    Transformer's code has; the projection and the positions are ours.

    Args:
        num_features: Length of a token.
        width: Length of a projected token; the result is as long.
        heads: Attention heads; ``width`` is a multiple of them.
        layers: How often slices attend to one another.
        positions: ``sinusoidal`` by the slice's number, ``learned`` by its place between the first
            slice and the last, or ``none``: the order of the slices then does not matter.
        pool: ``class``, a token of its own that attends to all slices, or ``mean`` over slices.
        dropout: Share of attention weights and of features that is left out in training.

    Raises:
        ValueError: an option is out of range, or ``width`` is no multiple of ``heads``.

    >>> from torch import ones
    >>> Transformer(4, width=8, heads=2)(ones(2, 7, 4)).shape
    torch.Size([2, 8])
    """

    search_space: ClassVar[Mapping[str, str]] = {
        "width": "choice(among=(64, 128, 256))",
        "layers": "integer(low=1, high=4)",
        "positions": 'choice(among=("sinusoidal", "learned", "none"))',
        "pool": 'choice(among=("class", "mean"))',
        "dropout": "uniform(low=0, high=0.5)",
    }

    def __init__(
        self,
        num_features: int,
        *,
        width: int = 128,
        heads: int = 4,
        layers: int = 1,
        positions: Kind = "sinusoidal",
        pool: Literal["class", "mean"] = "class",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        for name, value in (("width", width), ("heads", heads), ("layers", layers)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, but got {name}={value}")
        if width % heads:
            raise ValueError(f"width must be a multiple of heads, but got {width=}, {heads=}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be from 0 to below 1, but got {dropout=}")
        self.num_features = width
        self.project = nn.Linear(num_features, width)
        self.positions = build_positions(positions, width)
        self.class_token: nn.Parameter | None = None
        if pool == "class":
            self.class_token = nn.Parameter(torch.empty(width))
            nn.init.normal_(self.class_token, std=0.02)
        self.blocks = nn.ModuleList(
            Block(width, heads=heads, dropout=dropout) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(
        self, tokens: Tokens, mask: SliceMask | None = None
    ) -> Float[Tensor, "batch width"]:
        """Pool ``[batch, slice, feature]`` to ``[batch, width]``."""
        attended, _ = self._attend(tokens, mask)
        if self.class_token is not None:
            return attended[:, 0]
        return fill_padding(attended, mask, value=0.0).sum(dim=1) / count_slices(attended, mask)

    def slice_weights(
        self, tokens: Tokens, mask: SliceMask | None = None
    ) -> Float[Tensor, "batch slice"]:
        """How much the last layer attends to each slice; adds up to 1, and padding has 0.

        It is the class token's attention, without that to itself; or that of all slices, averaged.
        """
        _, attention = self._attend(tokens, mask)
        if self.class_token is not None:
            weights = attention[:, 0, 1:]
            return weights / weights.sum(dim=1, keepdim=True)
        return fill_padding(attention, mask, value=0.0).sum(dim=1) / count_slices(attention, mask)

    def _attend(
        self, tokens: Tokens, mask: SliceMask | None
    ) -> tuple[Float[Tensor, "batch token width"], Float[Tensor, "batch token token"]]:
        """Tokens after the last block, the class token first if there is one, and its attention."""
        if mask is None:
            mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        # Beside the encoder this costs nothing, and padding is masked to the last bit.
        with torch.autocast(tokens.device.type, enabled=False):
            attended = self.project(fill_padding(tokens, mask, value=0.0))
            if self.positions is not None:
                attended = attended + self.positions(mask)
            if self.class_token is not None:
                first = repeat(self.class_token, "f -> b 1 f", b=len(attended))
                attended = torch.cat([first, attended], dim=1)
                mask = torch.cat([mask.new_ones(len(mask), 1), mask], dim=1)
            for block in self.blocks:
                attended, attention = block(attended, ~mask)
            return self.norm(attended), attention
