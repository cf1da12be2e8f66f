"""The classifier: encoder, then aggregator, then a linear head."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from volbench._utils.device import send
from volbench.errors import SpecError
from volbench.interfaces import Aggregator, Encoder
from volbench.plugins.registry import aggregators, encoders
from volbench.spec import Spec
from volbench.types import Output, SliceMask, Tokens, Volume


@dataclass(frozen=True)
class SliceIndex:
    """The slices of a batch that are predicted: item i is slice ``slice[i]`` of ``case[i]``."""

    case: Int[Tensor, " item"]
    slice: Int[Tensor, " item"]


class Classifier(nn.Module):
    """Volumes in, logits and embeddings out.

    With an aggregator an item is a case; without one an item is a slice named by a `SliceIndex`,
    and the head is shared by all slices (Lee et al., 2022, section 2.2).
    """

    def __init__(self, encoder: Encoder, aggregator: Aggregator | None, num_classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.aggregator = aggregator
        self.num_features = (aggregator or encoder).num_features
        self.head = nn.Linear(self.num_features, 1 if num_classes == 2 else num_classes)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(
        self, volume: Volume, mask: SliceMask | None = None, slices: SliceIndex | None = None
    ) -> Output:
        """Classify a batch; ``slices`` is needed exactly when there is no aggregator.

        A ``mask`` on the host costs no wait for a GPU; one on the volume's device may.
        """
        on_device = None if mask is None else send(mask, volume.device)
        tokens = self.encoder(volume, mask if self.encoder.mask_on_host else on_device)
        return self.classify(tokens, on_device, slices)

    def classify(
        self, tokens: Tokens, mask: SliceMask | None = None, slices: SliceIndex | None = None
    ) -> Output:
        """Classify what the encoder made of a batch; the mask is on its device."""
        embedding = self._embed(tokens, mask, slices)
        return Output(logits=self.head(embedding), embedding=embedding)

    def _embed(
        self, tokens: Tokens, mask: SliceMask | None, slices: SliceIndex | None
    ) -> Float[Tensor, "item pooled"]:
        if self.aggregator is None:
            assert slices is not None
            return tokens[slices.case, slices.slice]
        if mask is not None:
            mask = shrink_mask(mask, self.encoder.slice_stride)
        pooled: Tensor = self.aggregator(tokens, mask)
        return pooled


def shrink_mask(mask: SliceMask, stride: int) -> Bool[Tensor, "batch token"]:
    """Mask of the tokens when there is one per ``stride`` slices; real if any of them is."""
    if stride == 1:
        return mask
    short = -mask.shape[1] % stride
    windows = rearrange(F.pad(mask, (0, short)), "b (t k) -> b t k", k=stride)
    return windows.any(dim=2)


def build_classifier(
    encoder: Spec, aggregator: Spec | None, *, in_channels: int, num_classes: int
) -> Classifier:
    """Build a classifier from specs; random numbers come from torch's global generator.

    Raises:
        SpecError: slice level is asked of an encoder that has fewer tokens than slices.
    """
    built = encoders.build(encoder, Encoder, in_channels)
    if aggregator is None:
        if built.slice_stride != 1:
            raise SpecError(
                f"encoder {encoder} leaves one token per {built.slice_stride} slices; "
                "slice level needs one per slice, use --level volume"
            )
        return Classifier(built, None, num_classes)
    return Classifier(
        built, aggregators.build(aggregator, Aggregator, built.num_features), num_classes
    )


def count_parameters(model: nn.Module) -> int:
    """Count the trained parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def probabilities(output: Output) -> torch.Tensor:
    """Turn logits into one probability per class, in float32: shape [item, class]."""
    logits = output.logits.float()
    if logits.shape[1] > 1:
        return logits.softmax(dim=1)
    positive = logits.sigmoid()
    return torch.cat([1 - positive, positive], dim=1)
