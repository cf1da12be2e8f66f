"""LeNet, slice by slice (LeCun et al., 1998, doi:10.1109/5.726791)."""

from collections.abc import Mapping
from typing import ClassVar

from einops import rearrange
from torch import nn
from volbench.interfaces import Encoder
from volbench.types import SliceMask, Tokens, Volume


class LeNet(Encoder):
    """Two convolutions with pooling, then the mean over the slice; no slice sees another.

    ReLU and maximum pooling replace the sigmoids and the trained averages of 1998.

    Args:
        in_channels: Channels of the volumes.
        width: Length of a token.

    Raises:
        ValueError: width is not above 0.

    >>> import torch
    >>> tokens = LeNet(1, width=16)(torch.zeros(2, 1, 5, 32, 32))
    >>> tokens.shape
    torch.Size([2, 5, 16])
    """

    search_space: ClassVar[Mapping[str, str]] = {"width": "integer(low=16, high=128)"}

    def __init__(self, in_channels: int, *, width: int = 64) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width must be above 0, but got {width=}")
        self.num_features = width
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, 16, kernel_size=5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.Conv2d(16, width, kernel_size=5, padding=2),
            nn.ReLU(),
        )

    def forward(self, volume: Volume, mask: SliceMask | None = None) -> Tokens:
        """Encode each slice on its own, so that the mask is not needed."""
        slices = rearrange(volume, "b c s h w -> (b s) c h w")
        features = self.layers(slices).mean(dim=(2, 3))
        tokens: Tokens = rearrange(features, "(b s) f -> b s f", b=len(volume))
        return tokens
