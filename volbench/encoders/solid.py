"""Packed slices as volumes, for a real 3D convolution."""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor

FEWEST_PLACES = 3
"""Slices that a 3D convolution gets: of two, oneDNN in bfloat16 spoils the weights' gradient."""


@dataclass(frozen=True, kw_only=True)
class Solid:
    """Where packed slices go, so that those of one volume never touch those of another.

    Attributes:
        batch: Volumes in the batch.
        runs: Runs of slices without a gap: one per volume, unless a mask has gaps.
        places: Place of each slice where an empty one stands between any two runs; None where
            nothing is padded, so that the slices lie as volumes already.
    """

    batch: int
    runs: int
    places: Int[Tensor, " item"] | None

    def apart(
        self, slices: Float[Tensor, "item channel height width"]
    ) -> Float[Tensor, "volume channel place height width"]:
        """Make volumes of slices, or one of them all. Channels are last before and after."""
        rows = rearrange(slices, "n c h w -> n h w c")
        if self.places is None:
            volumes = rearrange(rows, "(b s) h w c -> b s h w c", b=self.batch)
        else:
            places = max(FEWEST_PLACES, len(rows) + self.runs - 1)
            empty = rows.new_zeros(places, *rows.shape[1:])
            volumes = empty.index_copy(0, self.places, rows).unsqueeze(0)
        # No einops: of one volume it would make another layout, to which 3D layers are blind.
        return volumes.permute(0, 4, 1, 2, 3)

    def together(
        self, maps: Float[Tensor, "volume filter place row column"]
    ) -> Float[Tensor, "item filter row column"]:
        """Undo ``apart``: leave out what became of the empty slices."""
        rows = maps.permute(0, 2, 3, 4, 1).flatten(0, 1)
        if self.places is not None:
            rows = rows.index_select(0, self.places)
        return rearrange(rows, "n h w f -> n f h w")


def plan_solid(starts: Bool[Tensor, " item"], *, batch: int, padded: bool) -> Solid:
    """Find the places of packed slices.

    Args:
        starts: True where a run begins; not on a GPU, which would have to be waited for.
        batch: Volumes in the batch.
        padded: Whether some volumes of the batch are shorter than others.
    """
    if not padded and len(starts) >= FEWEST_PLACES * batch:
        return Solid(batch=batch, runs=batch, places=None)
    places = torch.arange(len(starts), device=starts.device) + starts.cumsum(0) - 1
    return Solid(batch=batch, runs=int(starts.sum()) if padded else batch, places=places)
