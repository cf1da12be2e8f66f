"""Which slices of a batch are real, at every depth a network reduces its volumes to."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from volbench.training.classifier import shrink_mask
from volbench.types import SliceMask

Maps: TypeAlias = Float[Tensor, "batch filter depth row column"]
NewMaps: TypeAlias = Float[Tensor, "batch new_filter new_depth new_row new_column"]
NewTokens: TypeAlias = Float[Tensor, "batch token feature"]  # slice_stride of slices each


class RealSlices:
    """What the layers of one network share during a forward pass.

    A layer that halves the slices turns S into half of S, rounded up, and what it makes of a real
    slice is real. So the depth of its maps tells a layer how often they were halved: no two depths
    are alike but those of a single slice, which is real at all of them.
    """

    def __init__(self) -> None:
        self._masks: dict[int, SliceMask] = {}
        self._places: dict[int, Int[Tensor, " item"]] = {}

    @contextmanager
    def of(self, mask: SliceMask | None, device: torch.device) -> Iterator[None]:
        """Tell the layers for the time of a forward pass.

        What is real must be known on the host: a mask on the CPU costs no wait for a GPU.
        """
        if mask is not None and not (mask := mask.cpu()).all():
            while mask.shape[1] not in self._masks:
                depth = mask.shape[1]
                self._masks[depth] = mask.to(device, non_blocking=True)
                self._places[depth] = mask.flatten().nonzero().flatten().to(device)
                mask = shrink_mask(mask, 2)
        try:
            yield
        finally:
            self._masks, self._places = {}, {}

    def at(self, depth: int) -> Bool[Tensor, "batch depth"] | None:
        """Which are real of maps of a depth; None where all are."""
        return self._masks.get(depth)

    def places(self, depth: int) -> Int[Tensor, " item"] | None:
        """Where the real ones are in ``(batch depth)``; None where all are real."""
        return self._places.get(depth)

    def cleared(self, maps: Maps) -> Maps:
        """Set padding to zero, whatever it holds."""
        real = self.at(maps.shape[2])
        return maps if real is None else maps.masked_fill(~real[:, None, :, None, None], 0)
