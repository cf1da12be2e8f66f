"""Bilinear pooling over slices (Lin et al., TPAMI 2018; used by Lee et al., MICCAI 2022)."""

import math

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from volbench.aggregators.masking import count_slices, fill_padding
from volbench.interfaces import Aggregator
from volbench.types import SliceMask, Tokens


class Bilinear(Aggregator):
    r"""Mean outer product of the tokens, signed square root, unit length.

    $$e = \frac{u}{\lVert u \rVert}, \quad u = \operatorname{sign}(g) \sqrt{|g|}, \quad
    g = \operatorname{tril} \Bigl( \frac{1}{D} \sum_d x_d x_d^\top \Bigr)$$

    The product is symmetric, so its lower triangle, row after row, is all of it. Unit length
    cancels any constant in place of $1/D$: dividing by a fixed number of slices gives the same.

    The root's slope is infinite at zero, where a feature that is off in every slice would put it.
    What is computed is $g\,(g^2 + \varepsilon^2)^{-1/4}$: the root where $|g| \gg \varepsilon$, and
    nowhere steeper than $\varepsilon^{-1/2}$. Tokens that are all zero give zero.

    Args:
        num_features: Length of a token, F; the result has F (F + 1) / 2 features.
        eps: Where the square root gives way to a straight line, in units of squared features.
    """

    triangle: Tensor

    def __init__(self, num_features: int, *, eps: float = 1e-6) -> None:
        super().__init__()
        if not eps > 0:
            raise ValueError(f"eps must be more than 0, but got {eps=}")
        self.num_features = num_features * (num_features + 1) // 2
        self.eps = eps
        row, column = torch.tril_indices(num_features, num_features)
        # One index into the flat product: index_select's backward is eight times faster on a CPU
        # than that of [row, column], and deterministic, since no index occurs twice.
        self.register_buffer("triangle", row * num_features + column, persistent=False)

    def forward(
        self, tokens: Tokens, mask: SliceMask | None = None
    ) -> Float[Tensor, "batch product"]:
        """Pool ``[batch, slice, feature]`` to ``[batch, feature * (feature + 1) / 2]``."""
        # Under autocast the matrix product would be rounded to 8 bits before its square root.
        with torch.autocast(tokens.device.type, enabled=False):
            real = fill_padding(tokens, mask, value=0.0)
            mean = rearrange(real, "b s f -> b f s") @ real / count_slices(tokens, mask)[..., None]
        product = mean.flatten(1).index_select(1, self.triangle)
        root = product * (product.square() + self.eps**2).rsqrt().sqrt()
        norm = torch.linalg.vector_norm(root, dim=1, keepdim=True)
        # Dividing by infinity instead of by zero: nothing goes out and no gradient comes back.
        embedding: Tensor = root / norm.where(norm > 0, math.inf)
        return embedding
