"""Layers that treat each volume of a padded batch as if it were alone.

MONAI's networks know no mask: a convolution would see what padding became in the layer before, and
BatchNorm would count it. Here every layer that looks beyond one slice is wrapped, and told which
slices are real. A wrapper holds the layer itself, so nothing is drawn anew.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from einops import rearrange
from torch import nn
from torch.nn import functional as F

from volbench_monai.real_slices import Maps, NewMaps, RealSlices
from volbench_monai.strides import triple


class Convolved(nn.Module):
    """A convolution that meets zeros beyond the ends of each volume."""

    def __init__(self, layer: nn.Conv3d, real: RealSlices) -> None:
        super().__init__()
        self.layer = layer
        self.real = real

    def forward(self, maps: Maps) -> NewMaps:
        """Compute on maps whose padding is zero.

        Where the kernel spans as many slices as there are, the zeros at both ends are put there. If
        oneDNN is to imagine them, some gradients of the weights are infinite, or the process ends:
        7×7×7 with stride 2 over 5 to 7 slices, and 3×3×3 over 2 in bfloat16 (PyTorch 2.11).
        """
        layer = self.layer
        maps = self.real.cleared(maps)
        depth, row, column = triple(layer.padding)
        if not depth or maps.shape[2] > layer.kernel_size[0]:
            convolved: NewMaps = layer(maps)
            return convolved
        filled = F.pad(maps, (0, 0, 0, 0, depth, depth))
        return F.conv3d(filled, layer.weight, layer.bias, layer.stride, (0, row, column))


class Maximum(nn.Module):
    """A maximum over the real part of each window.

    MONAI takes it right after a ReLU, where a zero is as good as nothing at all.
    """

    def __init__(self, layer: nn.MaxPool3d, real: RealSlices) -> None:
        super().__init__()
        self.layer = layer
        self.real = real

    def forward(self, maps: Maps) -> NewMaps:
        """Compute on maps whose padding is zero."""
        largest: NewMaps = self.layer(self.real.cleared(maps))
        return largest


class Averaged(nn.Module):
    """An average over the real part of each window; MONAI's would drop an odd last slice or row.

    Where everything divides by the window and nothing is padded, it is the layer that it wraps.
    """

    def __init__(self, layer: nn.AvgPool3d, real: RealSlices) -> None:
        super().__init__()
        self.layer = layer
        self.real = real

    def forward(self, maps: Maps) -> NewMaps:
        """Fill up the last windows with zeros, and divide by what is real in each."""
        windows = triple(self.layer.kernel_size)
        depth, row, column = (-n % k for n, k in zip(maps.shape[2:], windows, strict=True))
        divides = depth == row == column == 0
        if divides and self.real.at(maps.shape[2]) is None:
            whole: NewMaps = self.layer(maps)
            return whole
        present = torch.ones_like(maps[:, :1])
        averages, shares = (
            self.layer(F.pad(self.real.cleared(part), (0, column, 0, row, 0, depth)))
            for part in (maps, present)
        )
        averaged: NewMaps = averages / shares.where(shares > 0, 1.0)
        return averaged


class Normalised(nn.Module):
    """A BatchNorm whose statistics count real slices only; padding comes out as zero."""

    def __init__(self, layer: nn.BatchNorm3d, real: RealSlices) -> None:
        super().__init__()
        self.layer = layer
        self.real = real

    def forward(self, maps: Maps) -> Maps:
        """Normalise the real slices, laid end to end."""
        places = self.real.places(maps.shape[2])
        if places is None:
            return self._normalise(maps)
        slices = rearrange(maps, "b f d h w -> (b d) f 1 h w")
        normed = self._normalise(slices.index_select(0, places))
        filled = normed.new_zeros(slices.shape).index_copy(0, places, normed)
        return rearrange(filled, "(b d) f 1 h w -> b f d h w", b=maps.shape[0])

    def _normalise(self, maps: Maps) -> Maps:
        layer = self.layer
        if self.training and maps.numel() == maps.shape[1]:
            # One value per channel has no variance: a batch of one small volume, for instance.
            return F.batch_norm(
                maps, layer.running_mean, layer.running_var, layer.weight, layer.bias, eps=layer.eps
            )
        normed: Maps = layer(maps)
        return normed


WRAPPERS: Mapping[type[nn.Module], Callable[[Any, RealSlices], nn.Module]] = {
    nn.Conv3d: Convolved,
    nn.MaxPool3d: Maximum,
    nn.AvgPool3d: Averaged,
    nn.BatchNorm3d: Normalised,
}


def wrap_layers(network: nn.Module, real: RealSlices) -> None:
    """Replace every layer of a network that looks beyond one slice by one that knows padding."""
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if wrapper := WRAPPERS.get(type(layer)):
                setattr(parent, name, wrapper(layer, real))
