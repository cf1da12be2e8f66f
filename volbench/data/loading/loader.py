"""Batches on a device: data set resident in memory if it fits, else streamed."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Int
from torch import Tensor

from volbench._utils.device import send
from volbench.data.cache.packed_voxels import Prepared
from volbench.types import Labels, SliceMask, Volume

RESIDENT_SHARE = 0.5
"""Share of a GPU's free memory that the data set may take."""


@dataclass(frozen=True)
class Batch:
    """Cases on the device.

    Attributes:
        cases: Indices of the cases in the prepared data.
        volume: Padded with zeros to the most slices of the batch.
        mask: True where a slice is real; None when nothing is padded. It stays on the host,
            wherever the volume is, so that sizes can be read off it without waiting for a GPU.
        representative: Representative slices of each case where a transform has moved them; None
            leaves them where they were prepared.
    """

    cases: Int[np.ndarray, " case"]
    volume: Volume
    mask: SliceMask | None
    labels: Labels
    representative: Sequence[tuple[int, ...]] | None = None

    def full_mask(self) -> SliceMask:
        """The mask on the volume's device, also when nothing is padded."""
        if self.mask is not None:
            return send(self.mask, self.volume.device)
        batch, _, slices, *_ = self.volume.shape
        return torch.ones(batch, slices, dtype=torch.bool, device=self.volume.device)


class Loader:
    """Gathers batches of prepared volumes.

    On a CPU the memory-mapped file is the data set: pages are read once and shared by all
    processes. On a GPU the data set is copied there once if it fits in half of the free memory,
    else each batch is gathered in pinned memory and sent one batch ahead of its use, beside what
    the GPU computes meanwhile.
    """

    def __init__(
        self, prepared: Prepared, device: torch.device, *, resident: bool | None = None
    ) -> None:
        self.device = device
        self.slices = np.array([case.slices for case in prepared.cases])
        self.labels = np.array([case.label for case in prepared.cases])
        self._offsets = prepared.offsets
        voxels = torch.from_numpy(prepared.voxels)
        self.resident = _fits(voxels, device) if resident is None else resident
        self._voxels = voxels.to(device) if self.resident else voxels
        self._labels = torch.from_numpy(self.labels).to(device)

    def batches(self, order: Sequence[Int[np.ndarray, " _"]]) -> Iterator[Batch]:
        """Yield a batch for each array of case indices."""
        if self.resident or self.device.type == "cpu":
            yield from map(self._gather, order)
            return
        copies = torch.cuda.Stream(self.device)
        with ThreadPoolExecutor(max_workers=1) as ahead:
            pending = [ahead.submit(self._gather_on, copies, cases) for cases in order[:1]]
            for cases in order[1:]:
                pending.append(ahead.submit(self._gather_on, copies, cases))
                yield _taken_over(*pending.pop(0).result())
            for last in pending:
                yield _taken_over(*last.result())

    def _gather_on(
        self, stream: torch.cuda.Stream, cases: Int[np.ndarray, " case"]
    ) -> tuple[Batch, torch.cuda.Event]:
        with torch.cuda.stream(stream):
            return self._gather(cases), stream.record_event()

    def _gather(self, cases: Int[np.ndarray, " case"]) -> Batch:
        lengths = self.slices[cases]
        real = np.arange(int(lengths.max()))[None, :] < lengths[:, None]
        mask = None if real.all() else torch.from_numpy(real)
        on_host = self.device.type == "cpu" and not self.resident
        volume = self._copied(cases, real.shape) if on_host else self._taken(cases, real)
        if mask is not None and not on_host:
            volume.mul_(send(mask, self.device)[:, None, :, None, None])
        labels = self._labels.index_select(0, send(torch.from_numpy(cases), self.device))
        return Batch(cases, volume, mask, labels)

    def _copied(self, cases: Int[np.ndarray, " case"], shape: tuple[int, int]) -> Volume:
        """Read each case straight to its place, in one pass over its voxels."""
        channels, *plane = self._voxels.shape[1:]
        volume = torch.empty(shape[0], channels, shape[1], *plane)
        for place, start, length in zip(
            volume, self._offsets[cases], self.slices[cases], strict=True
        ):
            stored = self._voxels[start : start + length]
            place[:, :length].copy_(rearrange(stored, "s c h w -> c s h w"))
            place[:, length:].zero_()
        return volume

    def _taken(
        self, cases: Int[np.ndarray, " case"], real: Bool[np.ndarray, "case slice"]
    ) -> Volume:
        """Gather slices where they lie, or in pinned memory to be sent; padding holds any slice."""
        places = self._offsets[cases][:, None] + np.arange(real.shape[1])[None, :]
        index = torch.from_numpy(np.where(real, places, 0).ravel())
        if self.resident:
            slices = self._voxels.index_select(0, send(index, self.device))
        else:
            shape = (len(index), *self._voxels.shape[1:])
            pinned = torch.empty(shape, dtype=self._voxels.dtype, pin_memory=True)
            torch.index_select(self._voxels, 0, index, out=pinned)
            slices = pinned.to(self.device, non_blocking=True)
        return rearrange(slices, "(b s) c h w -> b c s h w", b=len(cases)).float()


_kept: dict[tuple[Prepared, torch.device], Loader] = {}


def open_loader(prepared: Prepared, device: torch.device) -> Loader:
    """Return this process's loader of a data set: what is resident stays so from fold to fold."""
    key = (prepared, device)
    if key not in _kept:
        _kept.clear()  # first, so that two data sets never lie on the device at a time
        _kept[key] = Loader(prepared, device)
    return _kept[key]


def _taken_over(batch: Batch, ready: torch.cuda.Event) -> Batch:
    """Have the current stream wait for a batch that another stream made, and keep its memory."""
    current = torch.cuda.current_stream(batch.volume.device)
    current.wait_event(ready)
    for tensor in (batch.volume, batch.labels):
        tensor.record_stream(current)
    return batch


def _fits(voxels: Tensor, device: torch.device) -> bool:
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return voxels.nbytes <= RESIDENT_SHARE * free
