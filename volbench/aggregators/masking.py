"""Masking of padded slices, shared by all aggregators.

Tokens are filled rather than multiplied, so that not even NaN or infinity leaks from padding.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from volbench.types import SliceMask, Tokens


def fill_padding(tokens: Tokens, mask: SliceMask | None, *, value: float) -> Tokens:
    """Put ``value`` where there is no slice; float16 and bfloat16 become float32, to pool in."""
    tokens = tokens.to(torch.promote_types(tokens.dtype, torch.float32))
    return tokens if mask is None else tokens.masked_fill(~mask[..., None], value)


def count_slices(tokens: Tokens, mask: SliceMask | None) -> Float[Tensor, "#batch 1"]:
    """Count the real slices of each case; at least one is a case's due, so this may divide."""
    if mask is None:
        return torch.full((1, 1), float(tokens.shape[1]), device=tokens.device)
    return mask.sum(dim=1, keepdim=True).float()
