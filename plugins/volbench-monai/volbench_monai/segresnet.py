"""The encoder of SegResNet (Myronenko, 2018, arXiv:1810.11654), from MONAI.

With ``filters=32, blocks=(1, 2, 2, 4, 4)``, the defaults, it is that of CT-FM (Pai et al., 2025,
arXiv:2501.09001), and takes its weights: ``model.safetensors`` of ``ct_fm_feature_extractor`` or of
``ct_fm_segresnet``, published by project-lighter under Apache-2.0.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn
from volbench.types import Volume

from volbench_monai.convolutional import Convolutional
from volbench_monai.layers import wrap_layers
from volbench_monai.published import rename
from volbench_monai.real_slices import Maps
from volbench_monai.strides import set_slice_stride


class SegResNet(Convolutional):
    """SegResNet's encoder; with five stages one token per 16 slices, or as many as you say.

    Args:
        in_channels: Channels of the volumes.
        filters: Those of the first stage; each stage has twice as many as the one before.
        blocks: Residual blocks per stage; as many stages as there are numbers.
        slice_stride: Slices per token, a power of 2. None strides along slices wherever MONAI
            does; 1 leaves one token per slice, and smaller ones suit thick slices.

    Raises:
        ValueError: an option is out of range.
    """

    search_space: ClassVar[Mapping[str, str]] = {
        "filters": "choice(among=(8, 16, 32))",
        "slice_stride": "choice(among=(1, 2, 4, 8))",
    }

    def __init__(
        self,
        in_channels: int,
        *,
        filters: int = 32,
        blocks: tuple[int, ...] = (1, 2, 2, 4, 4),
        slice_stride: int | None = None,
    ) -> None:
        super().__init__()
        if filters < 1:
            raise ValueError(f"filters must be at least 1, but got {filters=}")
        if not blocks or min(blocks) < 1:
            raise ValueError(f"blocks must hold numbers from 1, but got {blocks=}")
        # Importing MONAI takes seconds, which reading this module's docstring must not cost.
        from monai.networks.nets.segresnet_ds import SegResEncoder

        network: Any = SegResEncoder(
            spatial_dims=3, init_filters=filters, in_channels=in_channels, blocks_down=blocks
        )
        reductions = [stage["downsample"] for stage in network.layers[:-1]]
        self.slice_stride = set_slice_stride(reductions, slice_stride)
        self.num_features: int = filters * 2 ** (len(blocks) - 1)
        wrap_layers(network, self.real)
        self.network: nn.Module = network

    def maps(self, volume: Volume) -> Maps:
        """Run MONAI's layers; what the last stage finds."""
        maps: Maps = self.network(volume)[-1]
        return maps

    def convert_weights(self, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Take the names of MONAI's encoder, and of ``SegResNetDS`` without its decoder."""
        return rename(state, self.state_dict())
