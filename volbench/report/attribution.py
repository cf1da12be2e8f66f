"""How much each slice counts: weights where an aggregator has them, else what leaving it out does.

Leaving out needs nothing of an aggregator but its contract: a token that the mask hides must not
count. So it works for every plugin.
"""

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from volbench.training.classifier import Classifier, probabilities
from volbench.types import SliceMask, Tokens, Volume

Kind: TypeAlias = Literal["weights", "leaving out"]


@runtime_checkable
class WeighsSlices(Protocol):
    """An aggregator that can say how much it weighs each slice."""

    def slice_weights(
        self, tokens: Tokens, mask: SliceMask | None = None
    ) -> Float[Tensor, "batch slice"]:
        """Weights that add up to one for each case; zero for a padded slice."""


@dataclass(frozen=True)
class SliceValues:
    """One value per token, which is one per slice unless the encoder leaves fewer.

    Attributes:
        kind: ``weights`` that the aggregator gives, or the probability of the class less what it
            is with the slice left out: positive where the slice speaks for the class.
        stride: Slices per token.
    """

    kind: Kind
    values: tuple[float, ...]
    stride: int


@torch.inference_mode()
def slice_values(network: Classifier, volume: Volume, *, of: int) -> list[SliceValues]:
    """Say how much each slice of one volume counts for a class.

    The encoder has seen all slices: what a 3D encoder took over from a neighbour stays.

    Args:
        network: In evaluation mode, with an aggregator.
        volume: One case, nothing padded.
        of: Index of the class.

    Returns:
        Weights if the aggregator has them; the effect of leaving out where there are two slices.
    """
    aggregator = network.aggregator
    assert aggregator is not None
    tokens = network.encoder(volume, None)
    stride, count = network.encoder.slice_stride, tokens.shape[1]
    found = []
    if isinstance(aggregator, WeighsSlices):
        weights = aggregator.slice_weights(tokens)[0].double().cpu().numpy()
        found.append(SliceValues("weights", tuple(map(float, weights)), stride))
    if count > 1:
        whole = _probability(network, tokens, None, of)
        without = []
        for token in range(count):
            mask = torch.ones(1, count, dtype=torch.bool, device=tokens.device)
            mask[0, token] = False
            without.append(_probability(network, tokens, mask, of))
        effect = whole - np.array(without)
        found.append(SliceValues("leaving out", tuple(map(float, effect)), stride))
    return found


def _probability(network: Classifier, tokens: Tokens, mask: SliceMask | None, of: int) -> float:
    assert network.aggregator is not None
    embedding = network.aggregator(tokens, mask)
    output = network.apply_head(embedding)
    return float(probabilities(output)[0, of])
