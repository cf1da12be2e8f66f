"""Bilinear pooling over slices (Lin et al., TPAMI 2018; used by Lee et al., MICCAI 2022)."""

import math
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from volbench.aggregators.masking import count_slices, fill_padding
from volbench.interfaces import Aggregator
from volbench.types import SliceMask, Tokens

FLOOR = 1e-12
FORMER_EPS = 1e-6


class Bilinear(Aggregator):
    r"""Mean outer product of the tokens, signed square root, unit length.

    $$e = \frac{u}{\lVert u \rVert}, \quad u = \operatorname{sign}(g) \sqrt{|g|}, \quad
    g = \operatorname{tril} \Bigl( \frac{1}{D} \sum_d x_d x_d^\top \Bigr)$$

    The product is symmetric, so its lower triangle, row after row, is all of it. Unit length
    cancels any constant in place of $1/D$: dividing by a fixed number of slices gives the same.

    The root is computed as $\operatorname{sign}(g) \sqrt{|g| + 10^{-12}}$, as in the code of Lee et
    al.: its slope is at most $5 \cdot 10^5$, and none at zero, where a feature that is off in every
    slice puts it. Tokens that are all zero give zero.

    Args:
        num_features: Length of a token, F; the result has F (F + 1) / 2 features.
        eps: If more than 0, the root gives way to a straight line there, in units of squared
            features: $u = g\,(g^2 + \varepsilon^2)^{-1/4}$. Until November 2026 this was the
            default, with 1e-6; weights stored then are still used with it.

    >>> from torch import ones
    >>> Bilinear(4)(ones(2, 7, 4)).shape
    torch.Size([2, 10])
    """

    triangle: Tensor
    floor: Tensor

    def __init__(self, num_features: int, *, eps: float = 0.0) -> None:
        super().__init__()
        if not eps >= 0:
            raise ValueError(f"eps must not be negative, but got {eps=}")
        self.num_features = num_features * (num_features + 1) // 2
        self.eps = eps
        row, column = torch.tril_indices(num_features, num_features)
        # One index into the flat product: index_select's backward is eight times faster on a CPU
        # than that of [row, column], and deterministic, since no index occurs twice.
        self.register_buffer("triangle", row * num_features + column, persistent=False)
        # Stored with the weights, so that those trained with another root are known by its absence.
        self.register_buffer("floor", torch.tensor(FLOOR))

    def forward(
        self, tokens: Tokens, mask: SliceMask | None = None
    ) -> Float[Tensor, "batch product"]:
        """Pool ``[batch, slice, feature]`` to ``[batch, feature * (feature + 1) / 2]``."""
        # Under autocast the matrix product would be rounded to 8 bits before its square root.
        with torch.autocast(tokens.device.type, enabled=False):
            real = fill_padding(tokens, mask, value=0.0)
            mean = rearrange(real, "b s f -> b f s") @ real / count_slices(tokens, mask)[..., None]
        product = mean.flatten(1).index_select(1, self.triangle)
        if self.eps:
            root = product * (product.square() + self.eps**2).rsqrt().sqrt()
        else:
            root = product.sign() * (product.abs() + FLOOR).sqrt()
        norm = torch.linalg.vector_norm(root, dim=1, keepdim=True)
        # Dividing by infinity instead of by zero: nothing goes out and no gradient comes back.
        embedding: Tensor = root / norm.where(norm > 0, math.inf)
        return embedding

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *others: Any, **options: Any
    ) -> None:
        if f"{prefix}floor" not in state_dict:
            self.eps = self.eps or FORMER_EPS
            state_dict[f"{prefix}floor"] = self.floor
        super()._load_from_state_dict(state_dict, prefix, *others, **options)
