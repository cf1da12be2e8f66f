"""Brightness and contrast augmentation, scaled to the spread or range of each case."""

from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from volbench.types import SliceMask, Volume

Statistic: TypeAlias = Float[Tensor, "batch channel 1 1 1"]


def mean_and_std(volume: Volume, mask: SliceMask) -> tuple[Statistic, Statistic]:
    """Mean and standard deviation over the real slices, per case and channel."""
    weight = (mask / mask.sum(dim=1, keepdim=True))[:, None, :]
    pixels = volume.shape[3] * volume.shape[4]
    # Slice by slice first, in two passes that copy nothing; var_mean takes eight times as long.
    dtype = torch.promote_types(volume.dtype, torch.float32)
    mean = volume.mean(dim=(-2, -1), dtype=dtype)
    square = torch.linalg.vector_norm(volume, dim=(-2, -1), dtype=dtype).square() / pixels
    mean, square = (mean * weight).sum(dim=2), (square * weight).sum(dim=2)
    std = (square - mean.square()).clamp(min=0).sqrt()
    return mean[:, :, None, None, None], std[:, :, None, None, None]


def jitter(
    volume: Volume,
    mask: SliceMask,
    *,
    contrast: Float[Tensor, " batch"],
    brightness: Float[Tensor, " batch"],
) -> Volume:
    """Multiply the deviation from a case's mean by ``contrast``, then add to all of it.

    Args:
        volume: Intensities, normalised or raw; zero where ``mask`` is False, and left so.
        mask: Real slices.
        contrast: Factor.
        brightness: What is added, in standard deviations of the case.
    """
    mean, std = mean_and_std(volume, mask)
    return linear(volume, mask, centre=mean, unit=std, contrast=contrast, brightness=brightness)


def linear(
    volume: Volume,
    mask: SliceMask,
    *,
    centre: Statistic,
    unit: Statistic,
    contrast: Float[Tensor, " batch"],
    brightness: Float[Tensor, " batch"],
) -> Volume:
    """Multiply the deviation from ``centre`` by ``contrast``; add ``brightness`` times ``unit``."""
    gain = contrast[:, None, None, None, None]
    offset = centre * (1 - gain) + brightness[:, None, None, None, None] * unit
    # One pass over the voxels; an offset only for real slices keeps padding at zero.
    changed = torch.addcmul(offset * mask[:, None, :, None, None], volume.to(gain.dtype), gain)
    return changed.to(volume.dtype)


def low_and_span(volume: Volume, mask: SliceMask) -> tuple[Statistic, Statistic]:
    """Lowest intensity of the real slices and what the highest lies above it."""
    padding = ~mask[:, None, :]
    low = volume.amin(dim=(-2, -1)).masked_fill(padding, torch.inf).amin(dim=2)
    high = volume.amax(dim=(-2, -1)).masked_fill(padding, -torch.inf).amax(dim=2)
    return low[:, :, None, None, None], (high - low)[:, :, None, None, None]
