"""MONAI's 3D DenseNets (Huang et al., CVPR 2017, arXiv:1608.06993)."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn
from torch.nn import functional as F
from volbench.types import Volume

from volbench_monai.convolutional import Convolutional
from volbench_monai.layers import wrap_layers
from volbench_monai.real_slices import Maps
from volbench_monai.strides import set_slice_stride

LAYERS = (121, 169, 201, 264)


class DenseNet(Convolutional):
    """MONAI's 3D DenseNet of 121 to 264 layers; one token per 32 slices, or as many as you say.

    Its averages between blocks take an odd last slice, row or column along, which MONAI drops: a
    volume of few slices would have none left.

    Args:
        in_channels: Channels of the volumes.
        layers: 121, 169, 201 or 264.
        init_features: Filters of the first convolution.
        growth_rate: Filters that each layer adds.
        slice_stride: Slices per token, a power of 2. None strides along slices wherever MONAI
            does; 1 leaves one token per slice, and smaller ones suit thick slices.

    Raises:
        ValueError: an option is out of range.
    """

    search_space: ClassVar[Mapping[str, str]] = {
        "growth_rate": "choice(among=(12, 24, 32))",
        "slice_stride": "choice(among=(1, 2, 4, 8))",
    }

    def __init__(
        self,
        in_channels: int,
        *,
        layers: int = 121,
        init_features: int = 64,
        growth_rate: int = 32,
        slice_stride: int | None = None,
    ) -> None:
        super().__init__()
        if layers not in LAYERS:
            raise ValueError(f"layers must be one of {LAYERS}, but got {layers=}")
        for name, value in (("init_features", init_features), ("growth_rate", growth_rate)):
            if value < 2:
                raise ValueError(f"{name} must be at least 2, but got {name}={value}")
        # Importing MONAI takes seconds, which reading this module's docstring must not cost.
        from monai.networks.nets import densenet

        network: Any = getattr(densenet, f"DenseNet{layers}")(
            spatial_dims=3,
            in_channels=in_channels,
            out_channels=1,
            init_features=init_features,
            growth_rate=growth_rate,
        )
        features = network.features
        reductions = [features.conv0, features.pool0]
        reductions += [features.transition1, features.transition2, features.transition3]
        self.slice_stride = set_slice_stride(reductions, slice_stride)
        self.num_features: int = features.norm5.num_features
        wrap_layers(features, self.real)
        self.features: nn.Module = features

    def maps(self, volume: Volume) -> Maps:
        """Run MONAI's layers up to its pooling."""
        maps: Maps = F.relu(self.features(volume))
        return maps
