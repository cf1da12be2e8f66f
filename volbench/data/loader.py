"""Batches on a device: the packed data set resident where it fits, else sent batch by batch."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Int
from torch import Tensor

from volbench.data.cache import Prepared
from volbench.types import Labels, SliceMask, Volume

RESIDENT_SHARE = 0.5
"""Share of a GPU's free memory that the data set may take."""


@dataclass(frozen=True)
class Batch:
    """Cases on the device.

    Attributes:
        cases: Indices of the cases in the prepared data.
        volume: Padded with zeros to the most slices of the batch.
        mask: True where a slice is real; None when nothing is padded.
    """

    cases: Int[np.ndarray, " case"]
    volume: Volume
    mask: SliceMask | None
    labels: Labels

    def full_mask(self) -> SliceMask:
        """The mask, also when nothing is padded."""
        if self.mask is not None:
            return self.mask
        batch, _, slices, *_ = self.volume.shape
        return torch.ones(batch, slices, dtype=torch.bool, device=self.volume.device)


class Loader:
    """Gathers batches of prepared volumes.

    On a CPU the memory-mapped file is the data set: pages are read once and shared by all
    processes. On a GPU the data set is copied there once if it fits in half of the free memory,
    else each batch goes through pinned memory, one batch ahead of its use.
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
        with ThreadPoolExecutor(max_workers=1) as ahead:
            pending = [ahead.submit(self._gather, cases) for cases in order[:1]]
            for cases in order[1:]:
                pending.append(ahead.submit(self._gather, cases))
                yield pending.pop(0).result()
            for last in pending:
                yield last.result()

    def _gather(self, cases: Int[np.ndarray, " case"]) -> Batch:
        lengths = self.slices[cases]
        longest = int(lengths.max())
        within = np.arange(longest)[None, :]
        real = within < lengths[:, None]
        rows = np.where(real, self._offsets[cases][:, None] + within, 0).ravel()
        padded = not real.all()
        slices = self._take(rows)
        volume = rearrange(slices, "(b s) c h w -> b c s h w", b=len(cases)).float()
        mask = self._send(torch.from_numpy(real)) if padded else None
        if mask is not None:
            volume.mul_(mask[:, None, :, None, None])
        labels = self._labels[self._send(torch.from_numpy(cases))]
        return Batch(cases, volume, mask, labels)

    def _take(self, rows: Int[np.ndarray, " row"]) -> Tensor:
        index = torch.from_numpy(rows)
        if self.resident:
            return self._voxels.index_select(0, self._send(index))
        return self._send(self._voxels.index_select(0, index))

    def _send(self, tensor: Tensor) -> Tensor:
        if self.device.type == "cuda":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor


def _fits(voxels: Tensor, device: torch.device) -> bool:
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return voxels.nbytes <= RESIDENT_SHARE * free
