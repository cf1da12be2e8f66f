"""A 2D network of timm with ACS convolutions (Yang et al., 2021, arXiv:1911.10477).

The 2D networks: https://github.com/huggingface/pytorch-image-models
"""

from collections.abc import Mapping
from typing import ClassVar

from volbench.encoders.packed_slices import Maps, plan_packing
from volbench.encoders.timm import Timm
from volbench.errors import SpecError
from volbench.interfaces import Encoder
from volbench.types import SliceMask, Tokens, Volume

from volbench_acs.conversion import convert
from volbench_acs.neighbours import Neighbours


class ACS(Encoder):
    """A 2D convolutional network of timm that sees in 3D, with its 2D parameters and weights.

    A third of each convolution's kernels stays in the slice, a third lies across slices along the
    rows, a third across slices down the columns; see ``ACSConvolution``. Beyond the first and the
    last slice of a volume every convolution meets zeros, whatever else is in the batch.

    The paper reduces all three axes alike. Here slices are thick and few: strides and pooling
    stay in-plane, and every slice keeps its token.

    Args:
        in_channels: Channels of the volume; pretrained stems are adapted by timm.
        name: A convolutional network as timm names it: ``resnet18``, ``resnext50_32x4d``,
            ``densenet121``, ``efficientnet_b0``, ...
        pretrained: Start from timm's 2D weights, downloaded once.

    Raises:
        SpecError: timm has no such model or cannot load its weights, or one of its convolutions has
            no 3D counterpart: an even kernel, as patches have, or padding of its own.
    """

    search_space: ClassVar[Mapping[str, str]] = {
        "name": 'choice(among=("resnet18", "resnet34", "resnet50"))'
    }

    def __init__(
        self, in_channels: int, *, name: str = "resnet18", pretrained: bool = False
    ) -> None:
        super().__init__()
        self.flat = Timm(in_channels, name=name, pretrained=pretrained)
        self.neighbours = Neighbours()
        try:
            convert(self.flat.backbone, self.neighbours)
        except ValueError as error:
            raise SpecError(
                f"timm model {name!r} cannot be turned into 3D: {error}; "
                "choose a convolutional one, such as 'resnet18'"
            ) from None
        self.num_features = self.flat.num_features

    def forward(self, volume: Volume, mask: SliceMask | None = None) -> Tokens:
        """Encode; ``mask`` may stay on the CPU, see ``plan_packing``."""
        with self.neighbours.of(plan_packing(volume, mask)):
            tokens: Tokens = self.flat(volume, mask)
        return tokens

    def feature_map(self, volume: Volume) -> Maps:
        """Return what is pooled into tokens, for the receptive field."""
        with self.neighbours.of(plan_packing(volume, None)):
            return self.flat.feature_map(volume)
