"""Packed slices: the real slices of a batch laid end to end, so that padding is never computed.

A 2D layer runs on them as they are, and its BatchNorm counts real slices only. A 3D layer asks for
each slice's neighbours, which are zero beyond the ends of the slice's own volume, or for volumes
made of the slices (``Solid``).
"""

from dataclasses import dataclass
from typing import TypeAlias

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.nn import functional as F

from volbench._utils.device import send
from volbench.encoders.solid import Solid, plan_solid
from volbench.types import Embedding, SliceMask, Tokens, Volume

Slices: TypeAlias = Float[Tensor, "item channel height width"]
Maps: TypeAlias = Float[Tensor, "item filter row column"]  # what a layer makes of slices

CHANNELS_LAST_PIXELS = 64 * 64
"""Slices on a CPU from which on the ResNets are faster with channels last; always so on a GPU.

From the same size on they convolve in 3D: there it takes three quarters to nine tenths of the time
of 2D convolutions of slices stacked with their neighbours. Not so with smaller ones, where
oneDNN's 3D convolutions in bfloat16 are not to be trusted, nor on a GPU: cuDNN's neither.
"""


@dataclass(frozen=True)
class Packing:
    """Where the real slices of one batch are.

    Attributes:
        batch: Volumes in the batch.
        slices: Slices per volume, padding included.
        index: Place of each real slice in ``(batch slice)``; None where nothing is padded.
        solid: What 3D layers convolve, where not slices stacked with their neighbours.
        starts: True where no real slice comes before in the same volume.
        ends: True where no real slice comes after in the same volume.
    """

    batch: int
    slices: int
    index: Int[Tensor, " item"] | None
    solid: Solid | None
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
        # Padding by 1 and -1 moves all slices by one, and keeps their layout and the gradient's.
        before = F.pad(slices, (0, 0, 0, 0, 0, 0, 1, -1)).masked_fill_(self.starts, 0)
        after = F.pad(slices, (0, 0, 0, 0, 0, 0, -1, 1)).masked_fill_(self.ends, 0)
        return torch.cat([before, slices, after], dim=1)


def of_any_number(*tensors: Shaped[Tensor, "item ..."] | None) -> None:
    """Tell the compiler that batches differ in the number of slices, so that it compiles once."""
    for tensor in tensors:
        if tensor is not None:
            torch._dynamo.maybe_mark_dynamic(tensor, 0)


def plan_packing(volume: Volume, mask: SliceMask | None) -> Packing:
    """Find the real slices, once per forward pass.

    The sizes that follow are needed on the host. A mask on the CPU (wherever the volume is), or
    None where nothing is padded, costs no synchronisation; a mask on the GPU costs one.
    """
    batch, slices, device = volume.shape[0], volume.shape[2], volume.device
    if mask is None or bool((mask := mask.cpu()).all()):
        place = torch.arange(slices, device=device).repeat(batch)
        starts, ends, index = place == 0, place == slices - 1, None
    else:
        edge = mask.new_zeros(batch, 1)
        starts = ~torch.cat([edge, mask[:, :-1]], dim=1)[mask]
        ends = ~torch.cat([mask[:, 1:], edge], dim=1)[mask]
        index = send(mask.flatten().nonzero().flatten(), device)
    solid = None
    if _is_large(volume) and not volume.is_cuda:
        solid = plan_solid(starts, batch=batch, padded=index is not None)
    starts, ends = (rearrange(send(part, device), "n -> n 1 1 1") for part in (starts, ends))
    return Packing(batch, slices, index, solid, starts, ends)


def _is_large(volume: Volume) -> bool:
    return volume.shape[-2] * volume.shape[-1] >= CHANNELS_LAST_PIXELS
