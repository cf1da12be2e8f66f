"""What the convolutional encoders share: a network of MONAI's that knows padding."""

import abc

from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor
from volbench.interfaces import Encoder
from volbench.types import SliceMask, Volume

from volbench_monai.real_slices import Maps, NewTokens, RealSlices


class Convolutional(Encoder):
    """Maps of a 3D network, averaged in-plane.

    A subclass builds its network, wraps its layers with ``real`` and says how maps are computed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.real = RealSlices()

    @abc.abstractmethod
    def maps(self, volume: Volume) -> Maps:
        """Compute what is averaged into tokens."""

    def forward(self, volume: Volume, mask: SliceMask | None = None) -> NewTokens:
        """Encode; ``mask`` may stay on the CPU, see ``RealSlices.of``."""
        with self.real.of(mask, volume.device):
            maps = self.maps(volume)
        # A mean, not adaptive pooling, whose backward pass is not deterministic on CUDA.
        return reduce(maps, "b f d h w -> b d f", "mean")

    def feature_map(self, volume: Volume) -> Float[Tensor, "item filter row column"]:
        """Return what is pooled into tokens, for the receptive field."""
        return rearrange(self.maps(volume), "b f d h w -> (b d) f h w")
