"""Per-case random generators: draws do not depend on the batch."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from volbench._utils.device import send


class CaseGenerator:
    """Random numbers for a batch, drawn from one independent stream per case.

    A case gets the same numbers whatever its batch, its place in it and the device.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        self._streams = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._choices = [np.random.default_rng(seed) for seed in seeds]
        self._device = torch.device(device)

    def __len__(self) -> int:
        return len(self._streams)

    def uniform(
        self, *shape: int, low: float = 0.0, high: float = 1.0
    ) -> Float[Tensor, "batch ..."]:
        """Draw ``[batch, *shape]`` uniformly from [low, high)."""
        drawn = torch.stack([torch.rand(shape, generator=stream) for stream in self._streams])
        return send(low + (high - low) * drawn, self._device)

    def normal(self, *shape: int) -> Float[Tensor, "batch ..."]:
        """Draw ``[batch, *shape]`` from the standard normal distribution."""
        drawn = torch.stack([torch.randn(shape, generator=stream) for stream in self._streams])
        return send(drawn, self._device)

    def choices(self, count: int) -> Float[np.ndarray, "batch {count}"]:
        """Draw ``[batch, count]`` uniformly from [0, 1) on the host, for decisions made in Python.

        They come from streams of their own, and reading them never waits for a device.
        """
        return np.stack([stream.random(count) for stream in self._choices])
