"""Layers of a timm backbone from which the token of a slice is taken."""

from typing import Any, Literal, TypeAlias

import torch
from einops import reduce
from torch import Tensor, nn

from volbench.encoders.packed_slices import Maps
from volbench.errors import SpecError
from volbench.types import Embedding

Tap: TypeAlias = Literal["cls", "mean", "cls+mean", "last4"]

LAST = 4


def tap_token(backbone: nn.Module, slices: Maps, tap: Tap | None) -> Embedding:
    """Compute one token per slice.

    ``cls`` is the class token after the last block, ``mean`` the mean of the patches (or of the
    map, of a convolutional network), ``cls+mean`` both, and ``last4`` the class tokens of the last
    four blocks, as linear probes of self-supervised transformers take them. None is the model's
    own pooling.

    Raises:
        SpecError: the model has no class token, or does not tell its blocks.
    """
    if tap is None:
        token: Tensor = backbone(slices)
        return token
    model: Any = backbone
    prefix = int(getattr(model, "num_prefix_tokens", 0))
    if tap != "mean" and not prefix:
        raise SpecError(f"tap={tap!r} needs a class token, and the model has none; use tap='mean'")
    if tap == "last4":
        return _last_class_tokens(model, slices)
    features: Tensor = model.forward_features(slices)
    if features.ndim == 4:
        last = getattr(model, "output_fmt", "NCHW") == "NHWC"
        return reduce(features, "n h w f -> n f" if last else "n f h w -> n f", "mean")
    if features.ndim != 3:
        raise SpecError(f"tap={tap!r}: the model has neither patches nor a map; leave tap out")
    mean = features[:, prefix:].mean(dim=1)
    match tap:
        case "cls":
            return features[:, 0]
        case "mean":
            return mean
        case _:
            return torch.cat([features[:, 0], mean], dim=1)


def _last_class_tokens(model: Any, slices: Maps) -> Embedding:
    if not hasattr(model, "forward_intermediates"):
        raise SpecError("tap='last4': the model does not give its blocks' tokens; use tap='cls'")
    found = model.forward_intermediates(
        slices,
        indices=LAST,
        return_prefix_tokens=True,
        norm=True,
        output_fmt="NLC",
        intermediates_only=True,
    )
    return torch.cat([prefix[:, 0] for _, prefix in found], dim=1)
