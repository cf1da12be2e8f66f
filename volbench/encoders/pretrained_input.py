"""Input normalisation of grey slices for networks pretrained on RGB images."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from einops import rearrange
from torch import Tensor, nn

from volbench.encoders.packed_slices import Maps, Packing, Slices
from volbench.errors import SpecError

Normalize: TypeAlias = Literal["none", "zscore", "unit", "byte"]

PHOTOGRAPH_MEAN, PHOTOGRAPH_STD = 0.449, 0.226
"""Of ImageNet's grey values, the mean over colours: what a z-scored volume is brought to."""


class PretrainedInput(nn.Module):
    r"""Stacks neighbouring slices, repeats grey, and normalises as the weights were trained.

    Args:
        in_channels: Channels of the volume.
        channels: Channels of the network.
        neighbours: Slices that are stacked as channels, the slice in the middle; beyond the ends
            of a volume its last slice is taken again.
        normalize: What prepared intensities are: ``zscore`` (mean 0, deviation 1; brought to those
            of photographs first), ``unit`` (0 to 1), ``byte`` (0 to 255); ``none`` changes nothing.
        mean: Of each channel, in units of 0 to 1, that the network was trained with.
        std: Deviation of each channel, the same.

    Raises:
        SpecError: the number of channels is not what slices and neighbours give.
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        neighbours: int,
        normalize: Normalize,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        if neighbours < 1 or neighbours % 2 == 0:
            raise SpecError(f"neighbours must be odd, the slice in the middle: got {neighbours=}")
        stacked = in_channels * neighbours
        if stacked not in (1, channels):
            raise SpecError(
                f"{in_channels} channels and neighbours={neighbours} make {stacked}, but the "
                f"network takes in_chans={channels}; give in_chans={stacked}"
            )
        self.steps = neighbours // 2
        self.repeats = channels // stacked
        self.normalize = normalize
        means, stds = torch.tensor(_of(mean, channels)), torch.tensor(_of(std, channels))
        factor, offset = {
            "none": (1.0, 0.0),
            "zscore": (PHOTOGRAPH_STD, PHOTOGRAPH_MEAN),
            "unit": (1.0, 0.0),
            "byte": (1 / 255, 0.0),
        }[normalize]
        self.register_buffer("scale", (factor / stds).view(1, -1, 1, 1), persistent=False)
        shift = ((offset - means) / stds).view(1, -1, 1, 1)
        self.register_buffer("shift", shift, persistent=False)

    def forward(self, slices: Slices, packing: Packing) -> Maps:
        """Return slices with the network's channels."""
        if self.steps:
            slices = stack_neighbours(slices, packing, self.steps)
        if self.repeats > 1:
            slices = slices.repeat(1, self.repeats, 1, 1)
        return slices if self.normalize == "none" else slices * self.scale + self.shift


def stack_neighbours(slices: Slices, packing: Packing, steps: int) -> Maps:
    """Stack so many slices before, the slice, and as many after; the ends are repeated."""
    before, after = [slices], [slices]
    for _ in range(steps):
        before.append(before[-1].where(packing.starts, before[-1].roll(1, 0)))
        after.append(after[-1].where(packing.ends, after[-1].roll(-1, 0)))
    return rearrange([*before[:0:-1], slices, *after[1:]], "k n c h w -> n (k c) h w")


def _of(values: Sequence[float], channels: int) -> list[float]:
    """One value per channel: colours in turn, or their mean where channels are not colours."""
    if channels % len(values) == 0:
        return [float(value) for value in values] * (channels // len(values))
    return [sum(values) / len(values)] * channels
