"""The encoder of SwinUNETR (Hatamizadeh et al., 2022, arXiv:2201.01266), from MONAI.

It is the Swin transformer of Liu et al., 2021 (arXiv:2103.14030), in three dimensions.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor
from volbench.interfaces import Encoder
from volbench.types import SliceMask, Volume

from volbench_monai.by_length import encode_by_length
from volbench_monai.real_slices import Maps, NewTokens

HEADS = (3, 6, 12, 24)


class SwinUNETR(Encoder):
    """SwinUNETR's encoder: attention in shifted 3D windows; one token per 32 slices, or fewer.

    Patches of 2 voxels are embedded, and each stage attends within windows and then merges 2×2×2
    places into one. Where a size does not divide, the network pads by itself: SwinUNETR's multiples
    of 32 are a need of its decoder. Attention would look at padded slices, so volumes of unequal
    length go through the network apart, those of equal length together.

    Args:
        in_channels: Channels of the volumes.
        feature_size: Length of an embedded patch, a multiple of 12; the published network has 48.
        patch: Slices, rows and columns of a patch; 1 slice for thick ones.
        window: Patches along the slices, rows and columns of a window.
        depths: Blocks per stage; as many stages as there are numbers, at most four.

    Raises:
        ValueError: an option is out of range.
    """

    search_space: ClassVar[Mapping[str, str]] = {
        "feature_size": "choice(among=(12, 24, 48))",
        "patch": "choice(among=((1, 2, 2), (2, 2, 2)))",
    }

    def __init__(
        self,
        in_channels: int,
        *,
        feature_size: int = 24,
        patch: tuple[int, int, int] = (2, 2, 2),
        window: tuple[int, int, int] = (7, 7, 7),
        depths: tuple[int, ...] = (2, 2, 2, 2),
    ) -> None:
        super().__init__()
        if feature_size < 1 or feature_size % 12:
            raise ValueError(f"feature_size must be a multiple of 12, but got {feature_size=}")
        for name, sizes in (("patch", patch), ("window", window), ("depths", depths)):
            if not sizes or min(sizes) < 1:
                raise ValueError(f"{name} must hold numbers from 1, but got {name}={sizes}")
        if len(depths) > len(HEADS):
            raise ValueError(f"depths must name at most {len(HEADS)} stages, but got {depths=}")
        # Importing MONAI takes seconds, which reading this module's docstring must not cost.
        from monai.networks.nets.swin_unetr import SwinTransformer

        self.network = SwinTransformer(
            in_chans=in_channels,
            embed_dim=feature_size,
            window_size=window,
            patch_size=patch,
            depths=depths,
            num_heads=HEADS[: len(depths)],
        )
        self.stages = len(depths)
        self.num_features: int = feature_size * 2**self.stages
        self.slice_stride = patch[0] * 2**self.stages

    def forward(self, volume: Volume, mask: SliceMask | None = None) -> NewTokens:
        """Encode; ``mask`` may stay on the CPU, see ``encode_by_length``."""
        return encode_by_length(self._encode, volume, mask)

    def feature_map(self, volume: Volume) -> Float[Tensor, "item filter row column"]:
        """Return what is pooled into tokens, for the receptive field."""
        return rearrange(self._maps(volume), "b f d h w -> (b d) f h w")

    def _encode(self, volume: Volume) -> NewTokens:
        return reduce(self._maps(volume), "b f d h w -> b d f", "mean")

    def _maps(self, volume: Volume) -> Maps:
        network: Any = self.network
        maps = network.pos_drop(network.patch_embed(volume))
        for number in range(1, self.stages + 1):
            stage = getattr(network, f"layers{number}")
            maps = stage[0](maps.contiguous())
        normed: Maps = network.proj_out(maps, normalize=True)
        return normed
