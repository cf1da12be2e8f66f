"""ResNet-18 with 2D, 3D, mixed or factorised convolutions (Lee et al., MICCAI 2022).

Residual blocks: He et al., 2016, arXiv:1512.03385. Mixed and (2+1)D convolutions: Tran et al.,
2018, arXiv:1711.11248. Five layers: the stem and four stages of two basic blocks. The stem and the
last three stages halve the plane; nothing ever reduces the through-plane axis, so every slice keeps
its token. Which of the five layers are 3D is all that ten of the eleven encoders differ in.
"""

import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, Literal

import torch
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from volbench.encoders.batch_norm import BatchNorm
from volbench.encoders.fused_norm import norm_relu
from volbench.encoders.packed_slices import (
    Maps,
    Packing,
    Slices,
    is_large,
    of_any_number,
    plan_packing,
    plan_rows,
)
from volbench.interfaces import Encoder
from volbench.types import SliceMask, Tokens, Volume

Depths = tuple[int, int, int, int, int]
Way = Literal["volumes", "stacked", "float32"]

MOST_CHANNELS = 2
"""Channels of a stem up to which a GPU convolves squares of pixels: 0.8 of 2.1 ms are saved."""

PUBLISHED = re.compile(
    r"(?:^|\.)(?:layer(?P<stage>[1-4])\.(?P<block>[01])\.)?"
    r"(?P<layer>conv[12]|bn[12]|downsample\.[01])\.(?P<tensor>\w+)$"
)
RENAMED = {
    "conv1": "conv1", "bn1": "norm1", "conv2": "conv2", "bn2": "norm2",
    "downsample.0": "projection", "downsample.1": "projection_norm",
}  # fmt: skip


class Convolution(nn.Module):
    """A depth×size×size convolution without bias on packed slices, zero-padded by half a kernel.

    The weight is shaped as that of ``nn.Conv2d`` (depth 1) or ``nn.Conv3d`` (depth 3).

    Attributes:
        way: How a 3D kernel is applied: to volumes where the packing lays them out, to slices
            ``stacked`` with their neighbours, or to volumes in ``float32``. The last two are for
            devices whose libraries get the first one wrong.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, depth: int, size: int, stride: int = 1
    ) -> None:
        super().__init__()
        kernel = (size, size) if depth == 1 else (depth, size, size)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, *kernel))
        self.stride = stride
        self.padding = size // 2
        self.way: Way = "volumes"
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")

    @property
    def computed_shape(self) -> tuple[int, ...]:
        """Shape of the kernel that a GPU convolves with."""
        if self._splits:
            with torch.no_grad():
                return tuple(split_kernel(self.weight.new_empty(self.weight.shape)).shape)
        return tuple(self.weight.shape)

    @property
    def _splits(self) -> bool:
        """Whether this is a stem: tensor cores want eight channels, and it has one or a few."""
        few = self.weight.shape[1] <= MOST_CHANNELS
        return few and self.stride == 2 and self.padding == 3 and self.way == "volumes"

    def forward(self, slices: Slices, packing: Packing) -> Maps:
        """Convolve; a 3D kernel meets zeros beyond the ends of each volume."""
        if self.way == "float32":
            with torch.autocast(slices.device.type, enabled=False):
                return self._convolve(slices.float(), packing).to(slices.dtype)
        return self._convolve(slices, packing)

    def _convolve(self, slices: Slices, packing: Packing) -> Maps:
        weight: Tensor = self.weight
        if weight.ndim == 5 and packing.layout is not None and self.way != "stacked":
            if slices.is_cuda and self._splits:
                slices, weight = split_pixels(slices, self.padding), split_kernel(weight)
                volumes = packing.layout.to_volumes(slices)
                return packing.layout.to_slices(F.conv3d(volumes, weight, padding=(1, 0, 0)))
            volumes = packing.layout.to_volumes(slices)
            stride, padding = (1, self.stride, self.stride), (1, self.padding, self.padding)
            maps = F.conv3d(volumes, weight, stride=stride, padding=padding)
            return packing.layout.to_slices(maps)
        if weight.ndim == 5:
            slices = packing.with_neighbours(slices)
            weight = rearrange(weight, "o i d h w -> o (d i) h w")
        if slices.is_cuda and self._splits:
            return F.conv2d(split_pixels(slices, self.padding), split_kernel(weight))
        if weight.shape[-1] == 1 and self.stride > 1 and not slices.is_cuda:
            # The same, but for PyTorch 2.11: on CPUs its gradient of a 1x1 convolution with stride
            # writes beyond its memory, for channels last and fewer than 16 of them. Pooling, unlike
            # indexing, leaves the gradient in the layout of the slices. On a GPU it is slow.
            return F.conv2d(F.avg_pool2d(slices, 1, self.stride), weight)
        return F.conv2d(slices, weight, stride=self.stride, padding=self.padding)


def split_pixels(slices: Slices, padding: int) -> Maps:
    """Pad slices; then make channels of each square of four pixels: half the rows and columns.

    A convolution with stride 2 is then one with stride 1, of four times the channels; see
    ``split_kernel``.
    """
    height, width = slices.shape[-2:]
    slices = F.pad(slices, (padding, padding + width % 2, padding, padding + height % 2))
    kind = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else slices.dtype
    squares = rearrange(slices.to(kind), "n c (h y) (w x) -> n h w (c y x)", y=2, x=2)
    return squares.contiguous().permute(0, 3, 1, 2)


def split_kernel(weight: Float[Tensor, "o i *size"]) -> Float[Tensor, "o four_i *half"]:
    """The kernel that does on split pixels what this one of odd size does with stride 2."""
    weight = F.pad(weight, (0, 1, 0, 1))
    if weight.ndim == 5:
        return rearrange(weight, "o i d (h y) (w x) -> o (i y x) d h w", y=2, x=2)
    return rearrange(weight, "o i (h y) (w x) -> o (i y x) h w", y=2, x=2)


class Factorised(nn.Module):
    r"""A 3×k×k convolution split into 1×k×k, BatchNorm, ReLU and 3×1×1.

    Between the two stand $M = \lfloor 27 i o / (9 i + 3 o) \rfloor$ channels, for $i$ channels in
    and $o$ out, so that a 3×3×3 convolution keeps its number of weights. $M$ follows from each
    convolution on its own, the 7×7 stem included.
    """

    def __init__(self, in_channels: int, out_channels: int, *, size: int, stride: int = 1) -> None:
        super().__init__()
        between = 27 * in_channels * out_channels // (9 * in_channels + 3 * out_channels)
        self.within = Convolution(in_channels, between, depth=1, size=size, stride=stride)
        self.norm = BatchNorm(between)
        self.across = Convolution(between, out_channels, depth=3, size=1)

    def forward(self, slices: Slices, packing: Packing) -> Maps:
        """Convolve within the slices, then across them."""
        slices = norm_relu(self.norm, self.within(slices, packing), packing.real)
        convolved: Maps = self.across(slices, packing)
        return convolved


def _convolution(
    in_channels: int, out_channels: int, *, depth: int, size: int, stride: int, factorised: bool
) -> nn.Module:
    if factorised:
        return Factorised(in_channels, out_channels, size=size, stride=stride)
    return Convolution(in_channels, out_channels, depth=depth, size=size, stride=stride)


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut, which is projected where the shape changes."""

    def __init__(
        self, in_channels: int, out_channels: int, *, depth: int, stride: int, factorised: bool
    ) -> None:
        super().__init__()
        self.conv1 = _convolution(
            in_channels, out_channels, depth=depth, size=3, stride=stride, factorised=factorised
        )
        self.norm1 = BatchNorm(out_channels)
        self.conv2 = _convolution(
            out_channels, out_channels, depth=depth, size=3, stride=1, factorised=factorised
        )
        self.norm2 = BatchNorm(out_channels)
        self.projection: Convolution | None = None
        if stride != 1 or in_channels != out_channels:
            self.projection = Convolution(in_channels, out_channels, depth=1, size=1, stride=stride)
            self.projection_norm = BatchNorm(out_channels)

    def forward(self, slices: Slices, packing: Packing) -> Maps:
        """Add what two convolutions find to what came in."""
        found = norm_relu(self.norm1, self.conv1(slices, packing), packing.real)
        found = self.conv2(found, packing)
        if self.projection is not None:
            slices = self.projection(slices, packing)
            slices = norm_relu(self.projection_norm, slices, packing.real, relu=False)
        return norm_relu(self.norm2, found, packing.real, residual=slices)


class ResNet(Encoder):
    """Eighteen layers, one token per slice.

    Args:
        in_channels: Channels of the volume.
        depths: Slices that a kernel spans, 1 or 3, in each of the five layers.
        width: Channels after the stem; the last stage has eight times as many.
        factorised: Split every 3D convolution in two, see ``Factorised``.

    Raises:
        ValueError: ``width`` is not a whole number of at least 1.
    """

    mask_on_host = True

    def __init__(
        self, in_channels: int, *, depths: Depths, width: int = 32, factorised: bool = False
    ) -> None:
        super().__init__()
        if not isinstance(width, int) or width < 1:
            raise ValueError(f"width must be a whole number of at least 1, but got {width!r}")
        self.stem = _convolution(
            in_channels, width, depth=depths[0], size=7, stride=2, factorised=factorised
        )
        self.norm = BatchNorm(width)
        self.blocks = nn.ModuleList()
        stages = pairwise((width, width, 2 * width, 4 * width, 8 * width))
        for stage, (channels, filters) in enumerate(stages):
            stride, depth = (2 if stage else 1), depths[stage + 1]
            self.blocks += [
                BasicBlock(channels, filters, depth=depth, stride=stride, factorised=factorised),
                BasicBlock(filters, filters, depth=depth, stride=1, factorised=factorised),
            ]
        self.num_features = 8 * width
        self._has_3d = 3 in depths
        self._compiled: Callable[[Slices, Packing], Maps] | None = None

    def forward(self, volume: Volume, mask: SliceMask | None = None) -> Tokens:
        """Encode; ``mask`` may stay on the CPU, see ``plan_packing``."""
        return self.encode(*self.pack(volume, mask))

    def pack(self, volume: Volume, mask: SliceMask | None = None) -> tuple[Slices, Packing]:
        """Lay the slices out for ``encode``; all that depends on sizes read on the host."""
        packing = self._plan(volume, mask)
        return packing.pack(volume, channels_last=is_large(volume)), packing

    def encode(self, slices: Slices, packing: Packing) -> Tokens:
        """Encode packed slices; reads nothing on the host."""
        # A mean, not adaptive pooling, whose backward pass is not deterministic on CUDA.
        return packing.unpack(reduce(self._features(slices, packing), "n f h w -> n f", "mean"))

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Parameters of the stem, then of each of the four stages of two blocks."""
        stem = [*self.stem.parameters(), *self.norm.parameters()]
        blocks = [list(block.parameters()) for block in self.blocks]
        return [
            stem,
            *(first + second for first, second in zip(blocks[::2], blocks[1::2], strict=True)),
        ]

    def convert_weights(self, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Take the names of torchvision's and timm's ResNet-18, too."""
        return {_own_name(name): tensor for name, tensor in state.items()}

    def feature_map(self, volume: Volume) -> Maps:
        """Return what is pooled into tokens, for the receptive field."""
        return self._features(*self.pack(volume, None))

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile what runs on packed slices, for any number of them.

        Planning reads sizes on the host and stays as it is.
        """
        self._compiled = torch.compile(self._on_slices, *args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what was compiled: a copy has weights of its own."""
        return {**super().__getstate__(), "_compiled": None}  # type: ignore[no-untyped-call]

    def _plan(self, volume: Volume, mask: SliceMask | None) -> Packing:
        if not volume.is_cuda:
            return plan_packing(volume, mask)
        return plan_rows(volume, mask, spaced=self._has_3d)

    def _features(self, slices: Slices, packing: Packing) -> Maps:
        if self._compiled is None:
            return self._on_slices(slices, packing)
        places = None if packing.layout is None else packing.layout.places
        of_any_number(slices, packing.starts, packing.ends, places, packing.real)
        maps: Maps = self._compiled(slices, packing)
        return maps

    def _on_slices(self, slices: Slices, packing: Packing) -> Maps:
        slices = norm_relu(self.norm, self.stem(slices, packing), packing.real)
        for block in self.blocks:
            slices = block(slices, packing)
        return slices


def _own_name(name: str) -> str:
    """Translate a name of torchvision's ResNet-18, wrappers' prefixes included; others stay."""
    found = PUBLISHED.search(name)
    if found is None or "blocks." in name:
        return name
    part = f"blocks.{2 * int(found['stage']) - 2 + int(found['block'])}." if found["stage"] else ""
    layer = found["layer"]
    own = RENAMED[layer] if part else {"conv1": "stem", "bn1": "norm"}.get(layer)
    return name if own is None else f"{part}{own}.{found['tensor']}"


def r2d(in_channels: int, *, width: int = 32) -> ResNet:
    """R2D: all five layers 2D; slices never see one another (arXiv:1711.11248).

    >>> from torch import zeros
    >>> r2d(1, width=2)(zeros(2, 1, 5, 16, 16)).shape
    torch.Size([2, 5, 16])
    """
    return ResNet(in_channels, depths=(1, 1, 1, 1, 1), width=width)


def r3d(in_channels: int, *, width: int = 32) -> ResNet:
    """R3D: all five layers 3D (arXiv:1711.11248).

    >>> from torch import zeros
    >>> r3d(1, width=2)(zeros(2, 1, 5, 16, 16)).shape
    torch.Size([2, 5, 16])
    """
    return ResNet(in_channels, depths=(3, 3, 3, 3, 3), width=width)


def r2plus1d(in_channels: int, *, width: int = 32) -> ResNet:
    """R(2+1)D: all five layers 3D, each convolution split in two (arXiv:1711.11248).

    >>> from torch import zeros
    >>> r2plus1d(1, width=2)(zeros(2, 1, 5, 16, 16)).shape
    torch.Size([2, 5, 16])
    """
    return ResNet(in_channels, depths=(3, 3, 3, 3, 3), width=width, factorised=True)


def mc2(in_channels: int, *, width: int = 32) -> ResNet:
    """MC2, mixed convolutions: a 3D stem, then 2D (arXiv:1711.11248).

    >>> from torch import zeros
    >>> mc2(1, width=2)(zeros(2, 1, 5, 16, 16)).shape
    torch.Size([2, 5, 16])
    """
    return ResNet(in_channels, depths=(3, 1, 1, 1, 1), width=width)


def mc3(in_channels: int, *, width: int = 32) -> ResNet:
    """MC3, mixed convolutions: stem and first stage 3D, then 2D (arXiv:1711.11248).

    >>> from torch import zeros
    >>> mc3(1, width=2)(zeros(2, 1, 5, 16, 16)).shape
    torch.Size([2, 5, 16])
    """
    return ResNet(in_channels, depths=(3, 3, 1, 1, 1), width=width)


def mc4(in_channels: int, *, width: int = 32) -> ResNet:
    """MC4, mixed convolutions: 3D up to the second stage, then 2D (arXiv:1711.11248).

    >>> from torch import zeros
    >>> mc4(1, width=2)(zeros(2, 1, 5, 16, 16)).shape
    torch.Size([2, 5, 16])
    """
    return ResNet(in_channels, depths=(3, 3, 3, 1, 1), width=width)


def mc5(in_channels: int, *, width: int = 32) -> ResNet:
    """MC5, mixed convolutions: 3D but for the last stage (arXiv:1711.11248).

    >>> from torch import zeros
    >>> mc5(1, width=2)(zeros(2, 1, 5, 16, 16)).shape
    torch.Size([2, 5, 16])
    """
    return ResNet(in_channels, depths=(3, 3, 3, 3, 1), width=width)


def rmc2(in_channels: int, *, width: int = 32) -> ResNet:
    """rMC2, reversed: a 2D stem, then 3D (arXiv:1711.11248).

    >>> from torch import zeros
    >>> rmc2(1, width=2)(zeros(2, 1, 5, 16, 16)).shape
    torch.Size([2, 5, 16])
    """
    return ResNet(in_channels, depths=(1, 3, 3, 3, 3), width=width)


def rmc3(in_channels: int, *, width: int = 32) -> ResNet:
    """rMC3, reversed: stem and first stage 2D, then 3D (arXiv:1711.11248).

    >>> from torch import zeros
    >>> rmc3(1, width=2)(zeros(2, 1, 5, 16, 16)).shape
    torch.Size([2, 5, 16])
    """
    return ResNet(in_channels, depths=(1, 1, 3, 3, 3), width=width)


def rmc4(in_channels: int, *, width: int = 32) -> ResNet:
    """rMC4, reversed: 2D up to the second stage, then 3D (arXiv:1711.11248).

    >>> from torch import zeros
    >>> rmc4(1, width=2)(zeros(2, 1, 5, 16, 16)).shape
    torch.Size([2, 5, 16])
    """
    return ResNet(in_channels, depths=(1, 1, 1, 3, 3), width=width)


def rmc5(in_channels: int, *, width: int = 32) -> ResNet:
    """rMC5, reversed: 2D but for the last stage (Lee et al., MICCAI 2022).

    >>> from torch import zeros
    >>> rmc5(1, width=2)(zeros(2, 1, 5, 16, 16)).shape
    torch.Size([2, 5, 16])
    """
    return ResNet(in_channels, depths=(1, 1, 1, 1, 3), width=width)
