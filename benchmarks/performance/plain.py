"""The same eleven ResNet-18 networks, written as anyone would: nn.Conv3d and nn.BatchNorm3d.

What volbench's own encoders are measured against. The kernels are 1×k×k where a layer is 2D and
3×k×k where it is 3D, the strides (1, 2, 2). Names of parameters are those of volbench's encoders,
so that weights carry over. Padded slices take part in everything, as they do in such a network.
"""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from volbench.encoders.resnet import Depths, ResNet
from volbench.interfaces import Encoder


def convolution(
    in_channels: int, out_channels: int, *, depth: int, size: int, stride: int = 1
) -> nn.Conv3d:
    return nn.Conv3d(
        in_channels,
        out_channels,
        (depth, size, size),
        stride=(1, stride, stride),
        padding=(depth // 2, size // 2, size // 2),
        bias=False,
    )


class Factorised(nn.Module):
    """1×k×k, BatchNorm, ReLU, 3×1×1."""

    def __init__(self, in_channels: int, out_channels: int, *, size: int, stride: int) -> None:
        super().__init__()
        between = 27 * in_channels * out_channels // (9 * in_channels + 3 * out_channels)
        self.within = convolution(in_channels, between, depth=1, size=size, stride=stride)
        self.norm = nn.BatchNorm3d(between)
        self.across = convolution(between, out_channels, depth=3, size=1)

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        """Convolve within the slices, then across them."""
        return self.across(F.relu(self.norm(self.within(volume)), inplace=True))


def layer(
    in_channels: int, out_channels: int, *, depth: int, size: int, stride: int, factorised: bool
) -> nn.Module:
    if factorised:
        return Factorised(in_channels, out_channels, size=size, stride=stride)
    return convolution(in_channels, out_channels, depth=depth, size=size, stride=stride)


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(
        self, in_channels: int, out_channels: int, *, depth: int, stride: int, factorised: bool
    ) -> None:
        super().__init__()
        kind = {"depth": depth, "size": 3, "factorised": factorised}
        self.conv1 = layer(in_channels, out_channels, stride=stride, **kind)
        self.norm1 = nn.BatchNorm3d(out_channels)
        self.conv2 = layer(out_channels, out_channels, stride=1, **kind)
        self.norm2 = nn.BatchNorm3d(out_channels)
        self.projection = None
        if stride != 1 or in_channels != out_channels:
            self.projection = convolution(in_channels, out_channels, depth=1, size=1, stride=stride)
            self.projection_norm = nn.BatchNorm3d(out_channels)

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        """Add what two convolutions find to what came in."""
        found = F.relu(self.norm1(self.conv1(volume)), inplace=True)
        found = self.norm2(self.conv2(found))
        if self.projection is not None:
            volume = self.projection_norm(self.projection(volume))
        return F.relu(found + volume, inplace=True)


class PlainResNet(Encoder):
    """Volume [batch, channel, slice, height, width] to tokens [batch, slice, feature]."""

    def __init__(
        self, in_channels: int, *, depths: Depths, width: int = 32, factorised: bool = False
    ) -> None:
        super().__init__()
        self.stem = layer(
            in_channels, width, depth=depths[0], size=7, stride=2, factorised=factorised
        )
        self.norm = nn.BatchNorm3d(width)
        self.blocks = nn.ModuleList()
        for stage, (channels, filters) in enumerate(
            pairwise((width, width, 2 * width, 4 * width, 8 * width))
        ):
            kind = {"depth": depths[stage + 1], "factorised": factorised}
            self.blocks.append(BasicBlock(channels, filters, stride=2 if stage else 1, **kind))
            self.blocks.append(BasicBlock(filters, filters, stride=1, **kind))
        self.num_features = 8 * width

    def forward(self, volume: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Encode; ``mask`` is for the aggregator alone."""
        volume = F.relu(self.norm(self.stem(volume)), inplace=True)
        for block in self.blocks:
            volume = block(volume)
        return volume.mean(dim=(3, 4)).transpose(1, 2)


def as_plain(encoder: ResNet) -> PlainResNet:
    """Build the plain network of one of volbench's encoders, with its weights.

    A 2D kernel [out, in, k, k] becomes [out, in, 1, k, k].
    """
    own = encoder.state_dict()
    layers = encoder.stem, *(block.conv1 for block in encoder.blocks[::2])
    plain = PlainResNet(
        _first(encoder.stem).weight.shape[1],
        depths=tuple(map(_depth, layers)),
        width=encoder.num_features // 8,
        factorised=any(name.endswith("across.weight") for name in own),
    )
    shapes = {name: value.shape for name, value in plain.state_dict().items()}
    plain.load_state_dict({name: value.reshape(shapes[name]) for name, value in own.items()})
    return plain


def _first(part: nn.Module) -> nn.Module:
    return getattr(part, "within", part)


def _depth(part: nn.Module) -> int:
    """Slices that a layer of volbench's spans: its kernel has five axes if it is 3D."""
    weight = getattr(part, "across", part).weight
    return weight.shape[2] if weight.ndim == 5 else 1
