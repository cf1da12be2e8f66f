"""MONAI's 3D ResNets (He et al., 2016, arXiv:1512.03385; Hara et al., 2018, arXiv:1711.09577).

They take the weights of MedicalNet (Chen et al., 2019, arXiv:1904.00625), which Tencent publishes
under the MIT licence: ``resnet_18_23dataset.pth`` and its like.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from volbench.types import Volume

from volbench_monai.convolutional import Convolutional
from volbench_monai.layers import wrap_layers
from volbench_monai.published import plain_name, rename
from volbench_monai.real_slices import Maps
from volbench_monai.strides import set_slice_stride


class ResNet(Convolutional):
    """MONAI's 3D ResNet of 10 to 200 layers; one token per 32 slices, or as many as you say.

    As MONAI's ``ResNetFeatures`` it begins with a convolution of stride 2 and a maximum of stride
    2. Shortcuts are projections in all of them: MONAI's other kind passes no gradient.

    Args:
        in_channels: Channels of the volumes.
        layers: 10, 18, 34, 50, 101, 152 or 200.
        width: What the 64 filters of the stem, and all others, are multiplied by.
        stem_kernel: Slices, rows and columns that the first convolution spans; odd numbers.
        stem_stride: In-plane stride of the first convolution; 1 for small planes.
        max_pool: Whether a maximum of stride 2 follows it.
        slice_stride: Slices per token, a power of 2. None strides along slices wherever MONAI
            does; 1 leaves one token per slice, and smaller ones suit thick slices.

    Raises:
        ValueError: an option is out of range.
    """

    search_space: ClassVar[Mapping[str, str]] = {
        "layers": "choice(among=(10, 18, 34, 50))",
        "slice_stride": "choice(among=(1, 2, 4, 8))",
    }

    def __init__(
        self,
        in_channels: int,
        *,
        layers: int = 18,
        width: float = 1.0,
        stem_kernel: tuple[int, int, int] = (7, 7, 7),
        stem_stride: int = 2,
        max_pool: bool = True,
        slice_stride: int | None = None,
    ) -> None:
        super().__init__()
        # Importing MONAI takes seconds, which reading this module's docstring must not cost.
        from monai.networks.nets import resnet

        name = f"resnet{layers}"
        if name not in resnet.resnet_params:
            known = ", ".join(one.removeprefix("resnet") for one in resnet.resnet_params)
            raise ValueError(f"layers must be one of {known}, but got {layers=}")
        if any(size < 1 or size % 2 == 0 for size in stem_kernel):
            raise ValueError(f"stem_kernel must be of odd numbers, but got {stem_kernel=}")
        if stem_stride not in (1, 2):
            raise ValueError(f"stem_stride must be 1 or 2, but got {stem_stride=}")
        if not width * 64 >= 1:
            raise ValueError(f"width must leave one filter of 64 or more, but got {width=}")
        block, counts, *_ = resnet.resnet_params[name]
        network: Any = resnet.ResNet(
            block=block,
            layers=counts,
            block_inplanes=resnet.get_inplanes(),
            n_input_channels=in_channels,
            conv1_t_size=stem_kernel,
            conv1_t_stride=stem_stride,
            no_max_pool=not max_pool,
            widen_factor=width,
            feed_forward=False,
            bias_downsample=False,  # before a BatchNorm, which takes it away again
        )
        stem = [network.conv1] * (stem_stride == 2) + [network.maxpool] * max_pool
        stages = [network.layer2, network.layer3, network.layer4]
        self.slice_stride = set_slice_stride([*stem, *stages], slice_stride)
        self.num_features: int = network.in_planes  # those of the next stage, had it one
        del network.avgpool  # over slices too; tokens are averaged in-plane
        wrap_layers(network, self.real)
        self.max_pool = max_pool
        self.network = network

    def maps(self, volume: Volume) -> Maps:
        """Run MONAI's layers up to its pooling."""
        network: Any = self.network
        maps: Maps = network.act(network.bn1(network.conv1(volume)))
        if self.max_pool:
            maps = network.maxpool(maps)
        for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
            maps = stage(maps)
        return maps

    def convert_weights(self, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Take the names of MONAI and MedicalNet, with either kind of shortcut.

        MedicalNet's networks of 18 and 34 layers have the one without weights, "A": every second
        place, and zeros for the channels that are new. As a projection it is exact in evaluation,
        and gradients pass.
        """
        renamed = rename(state, self.state_dict())
        if any(".downsample." in name for name in renamed):
            return renamed
        own = self.state_dict()
        known = {plain_name(name) for name in renamed} >= {"conv1.weight", "bn1.weight"}
        return {**self._padding_shortcuts(own), **renamed} if known else renamed

    def _padding_shortcuts(self, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Projections that keep the channels there are and leave the new ones zero."""
        shortcuts = {}
        for name, tensor in own.items():
            _, found, layer = plain_name(name).partition(".downsample.")
            if not found:
                continue
            if layer == "0.weight":
                shortcuts[name] = torch.eye(*tensor.shape[:2])[..., None, None, None]
            elif layer == "1.weight":  # makes up for what is added to the variance of one
                shortcuts[name] = torch.full_like(tensor, (1 + nn.BatchNorm3d(1).eps) ** 0.5)
            elif layer == "1.running_var":
                shortcuts[name] = torch.ones_like(tensor)
            else:
                shortcuts[name] = torch.zeros_like(tensor)
        return shortcuts
