"""Packed slices: the real slices of a batch laid end to end, so that padding is never computed.

A 2D layer runs on them as they are, and its BatchNorm counts real slices only. A 3D layer asks for
each slice's neighbours, which are zero beyond the ends of the slice's own volume, or for the
volumes with an empty slice between any two.
"""

from dataclasses import dataclass
from typing import TypeAlias

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from volbench.transfer import send
from volbench.types import Embedding, SliceMask, Tokens, Volume

Slices: TypeAlias = Float[Tensor, "item channel height width"]
Maps: TypeAlias = Float[Tensor, "item filter row column"]  # what a layer makes of slices

CHANNELS_LAST_PIXELS = 64 * 64
"""Slices on a CPU from which on the ResNets are faster with channels last; always so on a GPU.

From the same size on they convolve in 3D: there it takes three quarters to nine tenths of the time
of 2D convolutions of slices stacked with their neighbours. Not so with smaller ones, where
oneDNN's 3D convolutions in bfloat16 are not to be trusted, nor on a GPU: cuDNN's neither.
"""

FEWEST_PLACES = 3
"""Slices that a 3D convolution gets: of two, oneDNN in bfloat16 spoils the weights' gradient."""


@dataclass(frozen=True, kw_only=True)
class Packing:
    """Where the real slices of one batch are.

    Attributes:
        batch: Volumes in the batch.
        slices: Slices per volume, padding included.
        index: Place of each real slice in ``(batch slice)``; None where nothing is padded.
        places: Place of each real slice where an empty one stands between any two runs.
        runs: Of slices without a gap; volumes, unless a mask has gaps.
        whole: Whether the slices, as they lie, are volumes that a 3D layer may see.
        solid: Whether 3D layers shall convolve in 3D, else slices stacked with their neighbours.
        starts: True where no real slice comes before in the same volume.
        ends: True where no real slice comes after in the same volume.
    """

    batch: int
    slices: int
    index: Int[Tensor, " item"] | None
    places: Int[Tensor, " item"]
    runs: int
    whole: bool
    solid: bool
    starts: Bool[Tensor, "item 1 1 1"]
    ends: Bool[Tensor, "item 1 1 1"]

    def pack(self, volume: Volume, *, channels_last: bool = False) -> Slices:
        """Lay the real slices end to end; ``channels_last`` is a wish of the encoder's on a CPU."""
        slices = rearrange(volume, "b c s h w -> (b s) c h w")
        if self.index is not None:
            slices = slices.index_select(0, self.index)
        # Every layer keeps the layout it is given. ``contiguous`` would not do: it takes a volume
        # of one channel for one of any layout.
        last = volume.is_cuda or (channels_last and _is_large(volume))
        layout = torch.channels_last if last else torch.contiguous_format
        return torch.empty_like(slices, memory_format=layout).copy_(slices)

    def unpack(self, features: Embedding) -> Tokens:
        """Give every real slice its place back; padded places hold zeros."""
        if self.index is not None:
            places = features.new_zeros(self.batch * self.slices, features.shape[1])
            features = places.index_copy(0, self.index, features)
        return rearrange(features, "(b s) f -> b s f", b=self.batch)

    def with_neighbours(self, slices: Slices) -> Float[Tensor, "item 3*channel height width"]:
        """Stack each slice's predecessor, itself and its successor along the channels.

        A 3×k×k convolution is then one 2D convolution with three times the input channels: no
        padded copy of the batch, and no layer in between whose padding has to be zeroed again.
        """
        before = slices.roll(1, dims=0).masked_fill_(self.starts, 0)
        after = slices.roll(-1, dims=0).masked_fill_(self.ends, 0)
        return torch.cat([before, slices, after], dim=1)

    def apart(self, slices: Slices) -> Float[Tensor, "volume channel place height width"]:
        """Make volumes of slices, or one of all: end to end, an empty slice between any two runs.

        Channels are last, as those of the slices must be. Where none is padded, nothing is copied.
        """
        rows = rearrange(slices, "n c h w -> n h w c")
        if self.whole:
            volumes = rearrange(rows, "(b s) h w c -> b s h w c", b=self.batch)
        else:
            places = max(FEWEST_PLACES, len(rows) + self.runs - 1)
            empty = rows.new_zeros(places, *rows.shape[1:])
            volumes = empty.index_copy(0, self.places, rows).unsqueeze(0)
        # No einops: of one volume it would make another layout, to which 3D layers are blind.
        return volumes.permute(0, 4, 1, 2, 3)

    def together(self, maps: Float[Tensor, "volume filter place row column"]) -> Maps:
        """Undo ``apart``: leave out what became of the empty slices."""
        rows = maps.permute(0, 2, 3, 4, 1).flatten(0, 1)
        if not self.whole:
            rows = rows.index_select(0, self.places)
        return rearrange(rows, "n h w f -> n f h w")


def of_any_number(*tensors: Shaped[Tensor, "item ..."]) -> None:
    """Tell the compiler that batches differ in the number of slices, so that it compiles once."""
    for tensor in tensors:
        torch._dynamo.maybe_mark_dynamic(tensor, 0)


def plan_packing(volume: Volume, mask: SliceMask | None) -> Packing:
    """Find the real slices, once per forward pass.

    The sizes that follow are needed on the host. A mask on the CPU (wherever the volume is), or
    None where nothing is padded, costs no synchronisation; a mask on the GPU costs one.
    """
    batch, slices, device = volume.shape[0], volume.shape[2], volume.device
    if mask is None or bool((mask := mask.cpu()).all()):
        place = torch.arange(slices, device=device).repeat(batch)
        starts, ends, index, runs = place == 0, place == slices - 1, None, batch
    else:
        edge = mask.new_zeros(batch, 1)
        starts = ~torch.cat([edge, mask[:, :-1]], dim=1)[mask]
        ends = ~torch.cat([mask[:, 1:], edge], dim=1)[mask]
        index, runs = send(mask.flatten().nonzero().flatten(), device), int(starts.sum())
    places = torch.arange(len(starts), device=starts.device) + starts.cumsum(0) - 1
    places, starts, ends = (send(part, device) for part in (places, starts, ends))
    return Packing(
        batch=batch,
        slices=slices,
        index=index,
        places=places,
        runs=runs,
        whole=index is None and slices >= FEWEST_PLACES,
        solid=_is_large(volume) and not volume.is_cuda,
        starts=rearrange(starts, "n -> n 1 1 1"),
        ends=rearrange(ends, "n -> n 1 1 1"),
    )


def _is_large(volume: Volume) -> bool:
    return volume.shape[-2] * volume.shape[-1] >= CHANNELS_LAST_PIXELS
