"""Any 2D backbone of timm, slice by slice (Wightman, 2019, doi:10.5281/zenodo.4414861).

The library is at https://github.com/huggingface/pytorch-image-models.
"""

import logging
from collections.abc import Mapping
from difflib import get_close_matches
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

import timm
import torch
from einops import rearrange
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import group_parameters
from torch import Tensor, nn
from torch.nn import functional as F

from volbench.encoders.hub import load_from_hub
from volbench.encoders.packed_slices import (
    Maps,
    Packing,
    Slices,
    of_any_number,
    plan_packing,
)
from volbench.encoders.pretrained_input import Normalize, PretrainedInput
from volbench.encoders.taps import Tap, tap_token
from volbench.encoders.timm_weights import LOCAL_DIR, load_timm_weights, read_local_dir
from volbench.encoders.weights import is_pinned
from volbench.errors import SpecError
from volbench.interfaces import Encoder
from volbench.types import SliceMask, Tokens, Volume

Probes: TypeAlias = tuple[tuple[tuple[int, int], int], ...]

# What makes a model with a fixed grid of patches take any plane, by family.
FLEXIBLE: tuple[Mapping[str, bool], ...] = (
    {"dynamic_img_size": True, "dynamic_img_pad": True},
    {"strict_img_size": False},
    {},
)
# A plane to try, and what its sides are padded to a multiple of: nothing where a small odd plane is
# taken as it is, else the coarsest grid in use (windows of patches, strides that must divide).
PROBES: Probes = (((17, 23), 1), ((101, 117), 32))

FEWEST_STAGES = 3
"""timm takes all blocks of a transformer for one stage, between patches and normalisation."""


class Timm(Encoder):
    """A timm backbone applied to every real slice; its own pooling gives the token.

    Where a model refuses small or odd planes, slices are padded with zeros, at the right and at
    the bottom, to a multiple of 32 pixels.

    Args:
        in_channels: Channels of the volume; pretrained stems are adapted by timm.
        name: Model as timm names it, ``timm.list_models()``; or ``local-dir:FOLDER``, a folder with
            the ``config.json`` and the ``model.safetensors`` that timm saves.
        pretrained: Start from timm's weights, downloaded once.
        image_size: In-plane size in pixels, for models that cannot be built for any. Position
            embeddings of ``weights`` are interpolated to it.
        weights: File of weights, see ``volbench.encoders.weights``.
        in_chans: Channels of the backbone; with ``weights`` and one grey channel 3, which repeat
            the grey, else those of the volume times ``neighbours``.
        neighbours: Slices stacked as channels, an odd number with the slice in the middle.
        normalize: What prepared intensities are, so that they can be brought to what the model was
            trained with, see ``PretrainedInput``; ``zscore`` with ``weights``, else ``none``.
        tap: Where the token is taken from, see ``tap_token``; the model's own pooling if None.

    Raises:
        SpecError: timm has no such model, it needs an ``image_size`` or cannot be built for the one
            given, or its weights cannot be loaded.

    Example:
        >>> encoder = Timm(1, name="test_vit", tap="cls+mean", neighbours=3)
        >>> encoder(torch.zeros(1, 1, 5, 32, 32)).shape
        torch.Size([1, 5, 128])
    """

    mask_on_host = True

    def __init__(
        self,
        in_channels: int,
        *,
        name: str = "resnet18",
        pretrained: bool = False,
        image_size: int | None = None,
        weights: str | None = None,
        in_chans: int | None = None,
        neighbours: int = 1,
        normalize: Normalize | None = None,
        tap: Tap | None = None,
    ) -> None:
        super().__init__()
        config: Mapping[str, Any] = {}
        if isinstance(name, str) and name.startswith(LOCAL_DIR):
            name, config, found = read_local_dir(Path(name.removeprefix(LOCAL_DIR)))
            weights = found if weights is None else weights
        if not isinstance(name, str) or not timm.is_model(name):
            near = get_close_matches(str(name), timm.list_models(), n=3)
            hint = " or ".join(map(repr, near))
            hint = f"did you mean {hint}?" if near else "timm.list_models() names them all"
            raise SpecError(f"timm has no model {name!r}; {hint}")
        self._is_compiled = False
        self.name = name
        self.image_size = image_size
        self.tap = tap
        if in_chans is None:
            in_chans = in_channels * neighbours
            in_chans = 3 if weights is not None and in_chans == 1 else in_chans
        self.backbone, self.num_features, self.multiple = _build(
            name, in_chans, pretrained, image_size, tap
        )
        if normalize is None:
            normalize = "none" if weights is None else "zscore"
        if normalize != "none":
            self.intensities = normalize
        published: Mapping[str, Any] = {**getattr(self.backbone, "pretrained_cfg", {}), **config}
        self.inputs = PretrainedInput(
            in_channels,
            in_chans,
            neighbours=neighbours,
            normalize=normalize,
            mean=published.get("mean") or IMAGENET_DEFAULT_MEAN,
            std=published.get("std") or IMAGENET_DEFAULT_STD,
        )
        if weights is not None and not is_pinned(weights):
            load_timm_weights(self.backbone, weights, name=name, first=published.get("first_conv"))

    def forward(self, volume: Volume, mask: SliceMask | None = None) -> Tokens:
        """Encode; ``mask`` may stay on the CPU, see ``plan_packing``.

        Raises:
            SpecError: the volume's plane is not what the model was built for.
        """
        return self.encode(*self.pack(volume, mask))

    def pack(self, volume: Volume, mask: SliceMask | None = None) -> tuple[Maps, Packing]:
        """Lay the slices out for ``encode``; all that depends on sizes read on the host.

        Raises:
            SpecError: as ``forward``.
        """
        plane = tuple(volume.shape[-2:])
        if self.image_size is not None and plane != (self.image_size, self.image_size):
            raise SpecError(
                f"timm model {self.name!r} was built for slices of {self.image_size}×"
                f"{self.image_size}, but got {plane[0]}×{plane[1]}; "
                "change image_size or the size that volumes are prepared at"
            )
        packing = plan_packing(volume, mask)
        return self._prepared(volume, packing), packing

    def encode(self, slices: Maps, packing: Packing) -> Tokens:
        """Encode packed slices; reads nothing on the host."""
        if self._is_compiled:
            of_any_number(slices)
        return packing.unpack(tap_token(self.backbone, slices, self.tap))

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Parameters of the stem, then of each stage; of a transformer, of each block."""
        if not hasattr(self.backbone, "group_matcher"):
            return [list(self.backbone.parameters())]
        stages = _grouped(self.backbone, coarse=True)
        return stages if len(stages) > FEWEST_STAGES else _grouped(self.backbone, coarse=False)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the backbone, for any number of slices; see ``ResNet.compile``."""
        self.backbone.compile(*args, **kwargs)
        self._is_compiled = True

    def feature_map(self, volume: Volume) -> Maps:
        """Return what is pooled into tokens, for the receptive field; patches become one column.

        Raises:
            TypeError: the model keeps several maps.
        """
        backbone: Any = self.backbone
        features = backbone.forward_features(self._prepared(volume, plan_packing(volume, None)))
        if not isinstance(features, Tensor):
            raise TypeError(f"{self.name} keeps several feature maps")
        if features.ndim == 3:
            return rearrange(features, "n patch f -> n f patch 1")
        if getattr(self.backbone, "output_fmt", "NCHW") == "NHWC":
            return rearrange(features, "n h w f -> n f h w")
        return features

    def _prepared(self, volume: Volume, packing: Packing) -> Maps:
        """What the backbone sees, with channels last.

        On one core of a CPU a depthwise or 1×1 convolution takes half the time so or less, and a
        ResNet-18 about the same. Kernels stay contiguous, since what is saved has to be.
        """
        slices = self.inputs(packing.pack(volume, channels_last=True), packing)
        return _padded(slices, self.multiple).contiguous(memory_format=torch.channels_last)


def _build(
    name: str, in_channels: int, pretrained: bool, image_size: int | None, tap: Tap | None
) -> tuple[nn.Module, int, int]:
    """Build the backbone; find the length of its token and what its planes are padded to.

    The length is measured, as timm's ``num_features`` is another number for some models.
    """
    options: tuple[Mapping[str, object], ...] = FLEXIBLE
    probes = PROBES
    if image_size is not None:
        options, probes = ({"img_size": image_size}, {}), (((image_size, image_size), 1),)
    reason = ""
    for option, (plane, multiple) in product(options, probes):
        try:
            backbone = _create(name, in_channels, option)
            slices = _padded(torch.zeros(1, in_channels, *plane), multiple)
            length = _token_length(backbone, slices, tap)
        except (TypeError, ValueError, RuntimeError, AssertionError) as error:
            reason = _first_sentence(error)
            continue
        if pretrained:
            backbone = _load_pretrained(name, in_channels, option)
        return backbone, length, multiple
    if image_size is not None:
        raise SpecError(
            f"timm model {name!r} cannot be built for image_size={image_size} ({reason}); "
            "try the size it was published with, or another model"
        )
    raise SpecError(
        f"timm model {name!r} does not take slices of any size ({reason}); "
        "give image_size= to build it for one"
    )


def _grouped(backbone: Any, *, coarse: bool) -> list[list[nn.Parameter]]:
    groups: dict[int, list[nn.Parameter]] = {}
    parameters = dict(backbone.named_parameters())
    layers = group_parameters(backbone, backbone.group_matcher(coarse=coarse), reverse=True)
    for name, layer in layers.items():
        groups.setdefault(layer, []).append(parameters[name])
    return [groups[layer] for layer in sorted(groups)]


def _padded(slices: Slices, multiple: int) -> Maps:
    height, width = slices.shape[-2:]
    return F.pad(slices, (0, -width % multiple, 0, -height % multiple))


def _create(
    name: str, in_channels: int, option: Mapping[str, object], *, pretrained: bool = False
) -> nn.Module:
    backbone: nn.Module = timm.create_model(
        name, pretrained=pretrained, in_chans=in_channels, num_classes=0, **option
    )
    return backbone


def _token_length(backbone: nn.Module, slices: Slices, tap: Tap | None) -> int:
    with torch.no_grad():
        token = tap_token(backbone.eval(), slices, tap)
    backbone.train()
    if not isinstance(token, Tensor) or token.ndim != 2:
        raise TypeError("it does not pool a slice into one vector")
    return token.shape[1]


def _load_pretrained(name: str, in_channels: int, option: Mapping[str, object]) -> nn.Module:
    hub = logging.getLogger("huggingface_hub")
    level = hub.level
    hub.setLevel(logging.CRITICAL)  # a line per retry says less than the error that follows
    try:
        return load_from_hub(lambda: _create(name, in_channels, option, pretrained=True))
    except Exception as error:  # whatever the hub, the network, the disk or the weights raise
        reason = _first_sentence(error)
        raise SpecError(
            f"timm model {name!r}: pretrained weights cannot be loaded ({reason}); name a file "
            "by weights=, connect to the network once so that they are kept, or leave "
            "pretrained=True out"
        ) from error
    finally:
        hub.setLevel(level)


def _first_sentence(error: Exception) -> str:
    return " ".join(str(error).split()).split(". ")[0].rstrip(".")
