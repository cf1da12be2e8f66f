"""Cutout (DeVries and Taylor, 2017, arXiv:1708.04552)."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from volbench.interfaces import Augmentation, CaseGenerator
from volbench.types import SliceMask, Volume


class Cutout(Augmentation):
    """Sets a window at a random place to 0, the same in all slices of a case.

    0 is the mean of a volume that was prepared with ``normalize="zscore"``, the default.

    Args:
        size: Side of the window as a part of the slice's, from 0 to 1; at the border it is clipped.

    Raises:
        ValueError: size is out of range.

    >>> volume, mask = torch.ones(2, 1, 5, 16, 16), torch.ones(2, 5, dtype=torch.bool)
    >>> Cutout(size=0.5)(volume, mask, CaseGenerator([1, 2])).shape
    torch.Size([2, 1, 5, 16, 16])
    """

    search_space: ClassVar[Mapping[str, str]] = {"size": "uniform(low=0, high=0.5)"}

    def __init__(self, *, size: float = 0.25) -> None:
        if not 0 <= size <= 1:
            raise ValueError(f"size must be from 0 to 1, but got {size=}")
        self.size = size

    def __call__(self, volume: Volume, mask: SliceMask, generator: CaseGenerator) -> Volume:
        """Change ``[batch, channel, slice, height, width]``; padding is zero and stays zero."""
        height, width = volume.shape[3:]
        row, column = generator.uniform(2, 1).unbind(dim=1)  # the window's centre, from 0 to 1
        rows = (torch.arange(height, device=volume.device) + 0.5) / height
        columns = (torch.arange(width, device=volume.device) + 0.5) / width
        hole = ((rows - row).abs() < self.size / 2)[:, :, None] & (
            (columns - column).abs() < self.size / 2
        )[:, None, :]
        return volume.masked_fill(hole[:, None, None], 0)
