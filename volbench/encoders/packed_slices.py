"""Packed slices: the real slices of a batch laid end to end, so that padding is never computed.

A 2D layer runs on them as they are, and its BatchNorm counts real slices only. A 3D layer sees them
as volumes (``VolumeLayout``), or as slices stacked with their neighbours, which are zero beyond the
ends of the slice's own volume.

On a GPU, rows that hold no slice stay in place: one between any two volumes, so that a 3D
convolution needs no copy, and a few at the end, so that batches come in few sizes. Such a row is
zero before every convolution, and no statistic counts it (``volbench.encoders.fused_norm``).
"""

from dataclasses import dataclass
from typing import TypeAlias

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.nn import functional as F

from volbench._utils.device import send
from volbench.types import Embedding, SliceMask, Tokens, Volume

Slices: TypeAlias = Float[Tensor, "item channel height width"]
Maps: TypeAlias = Float[Tensor, "item filter row column"]  # what a layer makes of slices

CHANNELS_LAST_PIXELS = 64 * 64
"""Slices on a CPU from which on the ResNets are faster with channels last; always so on a GPU.

From the same size on they convolve in 3D: there it takes three quarters to nine tenths of the time
of 2D convolutions of slices stacked with their neighbours. Not so with smaller ones on a CPU, where
oneDNN's 3D convolutions in bfloat16 are not to be trusted.
"""

FEWEST_PLACES = 3
"""Slices that a 3D convolution gets: of two, oneDNN in bfloat16 spoils the weights' gradient."""

FINEST_ROUNDING = 8
ROUNDINGS_PER_OCTAVE = 16
"""How row counts of padded batches are rounded up: by less than an eighth, a thirtieth on average.
"""


@dataclass(frozen=True, kw_only=True)
class VolumeLayout:
    """Where packed slices go, so that those of one volume never touch those of another.

    Attributes:
        batch: Volumes that are convolved side by side.
        runs: Runs of slices without a gap: one per volume, unless a mask has gaps.
        places: Place of each slice where an empty one stands between any two runs; None where
            the slices lie as volumes already.
    """

    batch: int
    runs: int
    places: Int[Tensor, " item"] | None

    def to_volumes(
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

    def to_slices(
        self, maps: Float[Tensor, "volume filter place row column"]
    ) -> Float[Tensor, "item filter row column"]:
        """Undo ``to_volumes``: leave out what became of the empty slices."""
        rows = maps.permute(0, 2, 3, 4, 1).flatten(0, 1)
        if self.places is not None:
            rows = rows.index_select(0, self.places)
        return rearrange(rows, "n h w f -> n f h w")


@dataclass(frozen=True, kw_only=True)
class Packing:
    """Where the real slices of one batch are.

    Attributes:
        batch: Volumes in the batch.
        slices: Slices per volume, padding included.
        index: Place of each row's slice in ``(batch slice)``, any place for a row without one;
            None where nothing is padded.
        layout: What 3D layers convolve, where not slices stacked with their neighbours.
        starts: True where no real slice comes before in the same volume.
        ends: True where no real slice comes after in the same volume.
        real: True where a row holds a slice; None where all do.
    """

    batch: int
    slices: int
    index: Int[Tensor, " item"] | None
    layout: VolumeLayout | None
    starts: Bool[Tensor, "item 1 1 1"]
    ends: Bool[Tensor, "item 1 1 1"]
    real: Bool[Tensor, " item"] | None = None

    def pack(self, volume: Volume, *, channels_last: bool = False) -> Slices:
        """Lay the real slices end to end; on a GPU always with channels last."""
        slices = rearrange(volume, "b c s h w -> (b s) c h w")
        if self.index is not None:
            slices = slices.index_select(0, self.index)
        # Every layer keeps the layout it is given. ``contiguous`` would not do: it takes a volume
        # of one channel for one of any layout.
        last = volume.is_cuda or channels_last
        layout = torch.channels_last if last else torch.contiguous_format
        return blank(torch.empty_like(slices, memory_format=layout).copy_(slices), self.real)

    def unpack(self, features: Embedding) -> Tokens:
        """Give every real slice its place back; padded places hold zeros."""
        if self.index is not None:
            count = self.batch * self.slices
            index = self.index
            if self.real is not None:  # rows without a slice share a place that nobody reads
                index = index.where(self.real, count)
            places = features.new_zeros(count + (self.real is not None), features.shape[1])
            features = places.index_copy(0, index, features)[:count]
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

    def tensors(self) -> list[Tensor]:
        """All tensors in a fixed order: what differs between two packings of one ``shape``."""
        found = (self.index, self.starts, self.ends, self.real)
        return [tensor for tensor in found if tensor is not None]

    @property
    def shape(self) -> tuple[object, ...]:
        """What is the same for all batches that one sequence of kernels can compute."""
        layout = self.layout and (self.layout.batch, self.layout.places is None)
        sizes = (self.batch, self.slices, len(self.starts))
        return (*sizes, layout, self.index is None, self.real is None)


def blank(
    rows: Float[Tensor, "item *axes"], real: Bool[Tensor, " item"] | None
) -> Float[Tensor, "item *axes"]:
    """Put zeros into the rows without a slice, in place."""
    if real is None:
        return rows
    return rows.masked_fill_(~real.view(-1, *(1 for _ in rows.shape[1:])), 0)


def of_any_number(*tensors: Shaped[Tensor, "item ..."] | None) -> None:
    """Tell the compiler that batches differ in the number of slices, so that it compiles once."""
    for tensor in tensors:
        if tensor is not None:
            torch._dynamo.maybe_mark_dynamic(tensor, 0)


def plan_packing(volume: Volume, mask: SliceMask | None) -> Packing:
    """Find the real slices, once per forward pass: every row holds one.

    The sizes that follow are needed on the host. A mask on the CPU (wherever the volume is), or
    None where nothing is padded, costs no synchronisation; a mask on the GPU costs one.
    """
    batch, slices, device = volume.shape[0], volume.shape[2], volume.device
    if mask is None or bool((mask := mask.cpu()).all()):
        return _unpadded(volume)
    starts, ends = _edges(mask)
    index = send(mask.flatten().nonzero().flatten(), device)
    layout = None
    if _convolves_in_3d(volume):
        layout = plan_layout(starts, batch=batch, padded=True)
    starts, ends = (rearrange(send(part, device), "n -> n 1 1 1") for part in (starts, ends))
    return Packing(batch=batch, slices=slices, index=index, layout=layout, starts=starts, ends=ends)


def plan_rows(volume: Volume, mask: SliceMask | None, *, spaced: bool) -> Packing:
    """Find the real slices and leave rows without one between them; else as ``plan_packing``.

    For encoders whose every layer keeps such rows at zero. Nothing is copied for a 3D convolution,
    and all batches of similar size have the same number of rows.

    Args:
        volume: The batch.
        mask: Its real slices, best on the CPU; None where all are.
        spaced: Whether an empty row stands between any two runs of slices, for 3D layers.
    """
    if mask is None or bool((mask := mask.cpu()).all()):
        return _unpadded(volume, as_volumes=True)
    starts, ends = _edges(mask)
    places = torch.arange(len(starts))
    if spaced:
        places = places + starts.cumsum(0) - 1
    rows = round_rows(int(places[-1]) + 1)
    flat = mask.flatten().nonzero().flatten()
    index, real = flat.new_zeros(rows), mask.new_zeros(rows)
    index[places], real[places] = flat, True
    # A row without a slice is zero, as what lies beyond the ends of a volume is.
    edges = [mask.new_zeros(rows) for _ in range(2)]
    for edge, found in zip(edges, (starts, ends), strict=True):
        edge[places] = found
    device = volume.device
    index, real, first, last = (send(part, device) for part in (index, real, *edges))
    return Packing(
        batch=volume.shape[0],
        slices=volume.shape[2],
        index=index,
        layout=VolumeLayout(batch=1, runs=1, places=None),
        starts=rearrange(first, "n -> n 1 1 1"),
        ends=rearrange(last, "n -> n 1 1 1"),
        real=real,
    )


def round_rows(rows: int) -> int:
    """Round a number of rows up to one of few: sixteen between any power of two and the next."""
    octave = 1 << max(0, rows.bit_length() - 1)
    step = max(FINEST_ROUNDING, octave // ROUNDINGS_PER_OCTAVE)
    return -(-rows // step) * step


def plan_layout(starts: Bool[Tensor, " item"], *, batch: int, padded: bool) -> VolumeLayout:
    """Find the places of packed slices.

    Args:
        starts: True where a run begins; not on a GPU, which would have to be waited for.
        batch: Volumes in the batch.
        padded: Whether some volumes of the batch are shorter than others.
    """
    if not padded and len(starts) >= FEWEST_PLACES * batch:
        return VolumeLayout(batch=batch, runs=batch, places=None)
    places = torch.arange(len(starts), device=starts.device) + starts.cumsum(0) - 1
    return VolumeLayout(batch=batch, runs=int(starts.sum()) if padded else batch, places=places)


def _unpadded(volume: Volume, *, as_volumes: bool = False) -> Packing:
    batch, slices = volume.shape[0], volume.shape[2]
    place = torch.arange(slices, device=volume.device).repeat(batch)
    starts, ends = place == 0, place == slices - 1
    layout = None
    if as_volumes:
        layout = VolumeLayout(batch=batch, runs=batch, places=None)
    elif _convolves_in_3d(volume):
        layout = plan_layout(starts, batch=batch, padded=False)
    starts, ends = (rearrange(part, "n -> n 1 1 1") for part in (starts, ends))
    return Packing(batch=batch, slices=slices, index=None, layout=layout, starts=starts, ends=ends)


def _edges(mask: SliceMask) -> tuple[Bool[Tensor, " item"], Bool[Tensor, " item"]]:
    """Where the real slices of each volume start and end; one value per real slice."""
    edge = mask.new_zeros(mask.shape[0], 1)
    starts = ~torch.cat([edge, mask[:, :-1]], dim=1)[mask]
    ends = ~torch.cat([mask[:, 1:], edge], dim=1)[mask]
    return starts, ends


def _convolves_in_3d(volume: Volume) -> bool:
    """Whether 3D layers see volumes; an exported graph, for any number of slices, never does.

    Its number of slices is a symbol, which a layout would compare and so make a constant; ONNX
    Script 0.7 gives a 3D convolution a bias that ONNX Runtime refuses.
    """
    exporting = torch.compiler.is_exporting()
    return is_large(volume) and not volume.is_cuda and not exporting


def is_large(volume: Volume) -> bool:
    """Whether slices have enough pixels for the layouts of ``CHANNELS_LAST_PIXELS``."""
    return volume.shape[-2] * volume.shape[-1] >= CHANNELS_LAST_PIXELS
