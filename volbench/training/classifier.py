"""The classifier: encoder, then aggregator, then a linear head."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from volbench._utils.device import send
from volbench.encoders.building import build_encoder
from volbench.errors import SpecError
from volbench.interfaces import Aggregator, Encoder
from volbench.losses.ordinal import from_conditional
from volbench.plugins.registry import aggregators, require_features
from volbench.spec import Spec
from volbench.training.frozen import encode_each, encodes_each
from volbench.types import Output, SliceMask, Tokens, Volume

ChangeTokens: TypeAlias = Callable[[Tokens, SliceMask | None], tuple[Tokens, SliceMask | None]]


@dataclass(frozen=True)
class SliceIndex:
    """The slices of a batch that are predicted: item i is slice ``slice[i]`` of ``case[i]``."""

    case: Int[Tensor, " item"]
    slice: Int[Tensor, " item"]


class Classifier(nn.Module):
    """Volumes in, logits and embeddings out.

    With an aggregator an item is a case; without one an item is a slice named by a `SliceIndex`,
    and the head is shared by all slices (Lee et al., 2022, section 2.2).

    Args:
        encoder: Volumes to tokens. One that is frozen encodes case by case on a CPU, so that its
            tokens do not depend on the batch to the last bit, and may as well be read from a cache.
        aggregator: Tokens to one vector per case; None at slice level.
        num_classes: Two have one logit, more one each.
        conditional: Whether the head gives the logit of a higher class among those at least in it,
            for each but the highest, as ``Loss.conditional_head`` says.

    Attributes:
        compile_tried: Whether the compiler has been tried on the encoder.
        compile_refusal: Why the encoder is not compiled although it should be, if so.
    """

    compile_tried: bool = False
    compile_refusal: str | None = None

    def __init__(
        self,
        encoder: Encoder,
        aggregator: Aggregator | None,
        num_classes: int,
        *,
        conditional: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.aggregator = aggregator
        self.num_features = (aggregator or encoder).num_features
        self.conditional = conditional and num_classes > 2
        outputs = num_classes - 1 if num_classes == 2 or self.conditional else num_classes
        self.head = nn.Linear(self.num_features, outputs)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(
        self,
        volume: Volume,
        mask: SliceMask | None = None,
        slices: SliceIndex | None = None,
        change_tokens: ChangeTokens | None = None,
    ) -> Output:
        """Classify a batch; ``slices`` is needed exactly when there is no aggregator.

        A ``mask`` on the host costs no wait for a GPU; one on the volume's device may.
        ``change_tokens`` is what training does to tokens and their mask before they are pooled.
        """
        on_device = None if mask is None else send(mask, volume.device)
        tokens = self.encode(volume, mask, on_device)
        return self.classify(tokens, on_device, slices, change_tokens)

    def encode(self, volume: Volume, mask: SliceMask | None, on_device: SliceMask | None) -> Tokens:
        """Run the encoder, case by case if it is frozen; the mask wherever it is, and beside it."""
        if encodes_each(self.encoder, volume, mask):
            return encode_each(self.encoder, volume, mask)
        tokens: Tokens = self.encoder(volume, mask if self.encoder.mask_on_host else on_device)
        return tokens

    def classify(
        self,
        tokens: Tokens,
        mask: SliceMask | None = None,
        slices: SliceIndex | None = None,
        change_tokens: ChangeTokens | None = None,
    ) -> Output:
        """Classify what the encoder made of a batch; the mask is on its device."""
        if mask is not None:
            mask = shrink_mask(mask, self.encoder.slice_stride)
        if change_tokens is not None:
            tokens, mask = change_tokens(tokens, mask)
        return self.apply_head(self._embed(tokens, mask, slices))

    def apply_head(self, embedding: Float[Tensor, "item pooled"]) -> Output:
        """Logits of what was pooled."""
        logits = self.head(embedding)
        if self.conditional:
            logits = from_conditional(logits.float())
        return Output(logits=logits, embedding=embedding)

    def _embed(
        self, tokens: Tokens, mask: SliceMask | None, slices: SliceIndex | None
    ) -> Float[Tensor, "item pooled"]:
        if self.aggregator is None:
            assert slices is not None
            return tokens[slices.case, slices.slice]
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
    encoder: Spec,
    aggregator: Spec | None,
    *,
    in_channels: int,
    num_classes: int,
    conditional: bool = False,
) -> Classifier:
    """Build a classifier from specs; random numbers come from torch's global generator.

    ``conditional`` is said of a loss by ``conditional_head``.

    Raises:
        SpecError: slice level is asked of an encoder that has fewer tokens than slices.
    """
    built = build_encoder(encoder, in_channels)
    if aggregator is None:
        if built.slice_stride != 1:
            raise SpecError(
                f"encoder {encoder} leaves one token per {built.slice_stride} slices; "
                "slice level needs one per slice, use --level volume"
            )
        return Classifier(built, None, num_classes, conditional=conditional)
    pooling = aggregators.build(aggregator, Aggregator, built.num_features)
    require_features(pooling, aggregators, aggregator)
    return Classifier(built, pooling, num_classes, conditional=conditional)


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
