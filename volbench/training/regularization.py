"""Regularization of a recipe: mixup, slice dropout, input noise, weight averaging."""

import copy
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from jaxtyping import Int
from torch import Tensor, nn

from volbench._utils.device import send
from volbench.data.loading.loader import Batch
from volbench.experiment.recipe import Regularization
from volbench.types import SliceMask, Tokens, Volume

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Mixing:
    """Which case each one is mixed with, and the share of its own that it keeps."""

    partner: Int[Tensor, " case"]
    share: float

    def mix(self, values: Tensor) -> Tensor:
        """Mix volumes or tokens along the batch."""
        return self.share * values + (1 - self.share) * values.index_select(0, self.partner)


class Regularizer:
    """Draws what changes in training from a seed per epoch, on the host.

    Args:
        options: What the recipe says.
    """

    def __init__(self, options: Regularization) -> None:
        self.options = options
        self.generator = torch.Generator()

    @property
    def is_active(self) -> bool:
        """Whether anything is drawn."""
        return bool(self.options.mixup) or self.changes_tokens

    @property
    def changes_tokens(self) -> bool:
        """Whether tokens differ from those that the encoder gives."""
        options = self.options
        on_tokens = bool(options.mixup) and options.mixup_on == "token"
        return on_tokens or bool(options.slice_dropout or options.token_noise)

    def start(self, seed: int) -> None:
        """Begin an epoch."""
        self.generator.manual_seed(seed)

    def draw_mixing(self, batch: Batch) -> Mixing | None:
        """Pair cases of equally many slices at random; None where nothing is mixed."""
        alpha = self.options.mixup
        if not alpha:
            return None
        # A Beta variable is a share of two Gamma variables.
        shape = torch.full((2,), alpha, dtype=torch.double)
        first, second = torch._standard_gamma(shape, generator=self.generator).tolist()
        share = first / (first + second) if first + second else 1.0
        count = len(batch.cases)
        lengths = batch.mask.sum(dim=1) if batch.mask is not None else torch.zeros(count)
        order = torch.randperm(count, generator=self.generator)
        partner = torch.arange(count)
        for length in lengths.unique():
            alike = (lengths == length).nonzero().flatten()
            shuffled = order[(lengths[order] == length)]
            partner[alike] = shuffled
        return Mixing(send(partner, batch.volume.device), share)

    def mix_volume(self, volume: Volume, mixing: Mixing | None) -> Volume:
        """Mix voxels, where that is asked for."""
        if mixing is None or self.options.mixup_on == "token":
            return volume
        return mixing.mix(volume)

    def change_tokens(
        self, tokens: Tokens, mask: SliceMask | None, mixing: Mixing | None
    ) -> tuple[Tokens, SliceMask | None]:
        """Mix tokens, add noise and hide some from the aggregator, as asked for."""
        if mixing is not None and self.options.mixup_on == "token":
            tokens = mixing.mix(tokens)
        if self.options.token_noise:
            tokens = tokens + self._noise(tokens, mask)
        if self.options.slice_dropout:
            mask = self._shown(tokens, mask)
        return tokens, mask

    def _noise(self, tokens: Tokens, mask: SliceMask | None) -> Tokens:
        power = tokens.detach().square().mean(dim=2)
        if mask is not None:
            power = power.masked_fill(~mask, 0.0)
        real = power.numel() if mask is None else mask.sum()
        deviation = self.options.token_noise * (power.sum() / real).sqrt()
        noise = torch.randn(tokens.shape, generator=self.generator)
        return deviation * send(noise, tokens.device).to(tokens.dtype)

    def _shown(self, tokens: Tokens, mask: SliceMask | None) -> SliceMask:
        """A token is hidden at random, but each case keeps at least one."""
        draw = send(torch.rand(tokens.shape[:2], generator=self.generator), tokens.device)
        if mask is not None:
            draw = draw.masked_fill(~mask, -1.0)  # padding is never shown
        return (draw >= self.options.slice_dropout) | (draw == draw.amax(dim=1, keepdim=True))


class WeightAverage(Generic[Network]):
    r"""Exponential moving average of a network's weights: $\bar w \leftarrow d \bar w + (1 - d) w$.

    Early on the decay is $\min(d, (1 + t) / (10 + t))$ after $t$ steps, so that the weights that
    training started from are soon forgotten (as in Tan and Le, 2019, arXiv:1905.11946). Buffers,
    such as BatchNorm's statistics, are averages already and are copied.
    """

    def __init__(self, model: Network, decay: float) -> None:
        self.model: Network = copy.deepcopy(model)
        self.decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take a step of training into account; they are counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for average, current in zip(self.model.parameters(), model.parameters(), strict=True):
            average.lerp_(current, 1 - decay)
        for kept, latest in zip(self.model.buffers(), model.buffers(), strict=True):
            kept.copy_(latest)
