"""nnU-Net's residual encoder, ResEnc (Isensee et al., MICCAI 2024, arXiv:2404.09556).

The defaults are ResEnc-L of OpenMind (Wald et al., 2024, arXiv:2412.17041), and take the weights
that are published with it under CC BY 4.0, as ``ResEncL-OpenMind-MAE``.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor, nn
from volbench.interfaces import Encoder
from volbench.types import SliceMask, Volume

from volbench_monai.by_length import encode_by_length
from volbench_monai.layers import wrap_layers
from volbench_monai.published import rename
from volbench_monai.real_slices import Maps, NewMaps, NewTokens, RealSlices
from volbench_monai.strides import set_slice_stride


class InstanceNorm(nn.InstanceNorm3d):
    """Normalises each channel of each volume; a single value is its own mean, so zero is left."""

    def forward(self, maps: Maps) -> Maps:
        """Normalise; PyTorch would refuse a single value."""
        if maps[0, 0].numel() == 1:
            return (maps * 0) + self.bias.view(-1, 1, 1, 1)
        normed: Maps = super().forward(maps)
        return normed


class ConvNorm(nn.Module):
    """A convolution, a norm and, if it is not the last of a block, a leaky ReLU."""

    def __init__(
        self, channels: int, filters: int, *, size: int = 3, stride: int = 1, last: bool = False
    ) -> None:
        super().__init__()
        self.conv = nn.Conv3d(
            channels, filters, size, stride=stride, padding=size // 2, bias=size > 1
        )
        self.norm = InstanceNorm(filters, affine=True)
        self.act = nn.Identity() if last else nn.LeakyReLU()

    def forward(self, maps: Maps) -> NewMaps:
        """Convolve, normalise and activate."""
        found: NewMaps = self.act(self.norm(self.conv(maps)))
        return found


class Block(nn.Module):
    """Two convolutions and a shortcut: an average where it strides, a projection where it grows."""

    def __init__(self, channels: int, filters: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(channels, filters, stride=stride)
        self.conv2 = ConvNorm(filters, filters, last=True)
        shortcut: list[nn.Module] = []
        if stride > 1:
            shortcut.append(nn.AvgPool3d(stride, stride))
        if channels != filters:
            shortcut.append(ConvNorm(channels, filters, size=1, last=True))
        self.skip = nn.Sequential(*shortcut)
        self.act = nn.LeakyReLU()

    def forward(self, maps: Maps) -> NewMaps:
        """Add what two convolutions find to the shortcut."""
        found: NewMaps = self.act(self.conv2(self.conv1(maps)) + self.skip(maps))
        return found


class ResEnc(Encoder):
    """nnU-Net's residual encoder; with six stages one token per 32 slices, or as many as you say.

    InstanceNorm would see padded slices, so volumes of unequal length go through the network apart,
    those of equal length together. An odd last slice, row or column, which the averages of nnU-Net
    drop and its convolutions keep, is averaged by itself.

    Args:
        in_channels: Channels of the volumes.
        filters: Filters of each stage.
        blocks: Residual blocks of each stage.
        slice_stride: Slices per token, a power of 2. None strides along slices wherever the
            published network does; 1 leaves one token per slice, and smaller ones suit thick
            slices.

    Raises:
        ValueError: an option is out of range.
    """

    search_space: ClassVar[Mapping[str, str]] = {"slice_stride": "choice(among=(1, 2, 4, 8))"}

    def __init__(
        self,
        in_channels: int,
        *,
        filters: tuple[int, ...] = (32, 64, 128, 256, 320, 320),
        blocks: tuple[int, ...] = (1, 3, 4, 6, 6, 6),
        slice_stride: int | None = None,
    ) -> None:
        super().__init__()
        for name, numbers in (("filters", filters), ("blocks", blocks)):
            if not numbers or min(numbers) < 1:
                raise ValueError(f"{name} must hold numbers from 1, but got {name}={numbers}")
        if len(filters) != len(blocks):
            raise ValueError(f"filters and blocks differ in length: {filters=}, {blocks=}")
        self.stem = nn.ModuleDict({"convs": nn.Sequential(ConvNorm(in_channels, filters[0]))})
        self.stages = nn.Sequential()
        channels = filters[0]
        for number, (width, count) in enumerate(zip(filters, blocks, strict=True)):
            stride = 2 if number else 1
            stage = [Block(channels, width, stride=stride)]
            stage += [Block(width, width, stride=1) for _ in range(count - 1)]
            self.stages.append(nn.ModuleDict({"blocks": nn.Sequential(*stage)}))
            channels = width
        self.slice_stride = set_slice_stride(list(self.stages)[1:], slice_stride)
        self.num_features = channels
        wrap_layers(self, RealSlices())  # for few slices and odd sizes; nothing is padded here

    def forward(self, volume: Volume, mask: SliceMask | None = None) -> NewTokens:
        """Encode; ``mask`` may stay on the CPU, see ``encode_by_length``."""
        return encode_by_length(self._encode, volume, mask)

    def feature_map(self, volume: Volume) -> Float[Tensor, "item filter row column"]:
        """Return what is pooled into tokens, for the receptive field."""
        return rearrange(self._maps(volume), "b f d h w -> (b d) f h w")

    def layer_groups(self) -> Sequence[Sequence[nn.Parameter]]:
        """Parameters of the stem, then of each stage."""
        return [list(part.parameters()) for part in (self.stem, *self.stages)]

    def convert_weights(self, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Take the names of nnU-Net, which stores each layer twice; without the decoder."""
        once = {name: one for name, one in state.items() if ".all_modules." not in name}
        return rename(once, self.state_dict())

    def _encode(self, volume: Volume) -> NewTokens:
        return reduce(self._maps(volume), "b f d h w -> b d f", "mean")

    def _maps(self, volume: Volume) -> Maps:
        maps: Maps = self.stem["convs"](volume)
        for stage in self.stages:
            assert isinstance(stage, nn.ModuleDict)
            maps = stage["blocks"](maps)
        return maps
