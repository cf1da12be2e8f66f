"""Volumes of equal length together: for networks in which a volume must not meet padding at all."""

from collections.abc import Callable

import torch
from torch.nn import functional as F
from volbench.types import SliceMask, Volume

from volbench_monai.real_slices import NewTokens


def encode_by_length(
    encode: Callable[[Volume], NewTokens], volume: Volume, mask: SliceMask | None
) -> NewTokens:
    """Encode volumes of one length at a time, without their padding.

    It is exact, in training too, for a network that takes every volume for itself: one that
    normalises by LayerNorm, not by BatchNorm. Lengths must be known on the host: a mask on the CPU
    costs no wait for a GPU.

    Args:
        encode: Turns volumes of one length, nothing padded, into tokens.
        volume: The batch.
        mask: Which slices are real; the real ones come first.
    """
    if mask is None or (mask := mask.cpu()).all():
        return encode(volume)
    lengths = mask.sum(dim=1)
    groups = [(lengths == length).nonzero().flatten() for length in lengths.unique()]
    tokens = [
        encode(volume[cases.to(volume.device), :, : int(lengths[cases[0]])]) for cases in groups
    ]
    longest = max(part.shape[1] for part in tokens)
    padded = torch.cat([F.pad(part, (0, 0, 0, longest - part.shape[1])) for part in tokens])
    return padded[torch.cat(groups).argsort().to(volume.device)]
