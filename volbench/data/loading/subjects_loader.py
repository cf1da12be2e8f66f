"""Training cases through TorchIO transforms: ``torchio.SubjectsLoader`` and its workers.

Each case has a seed of its own, drawn by the caller, and every transform runs on one
thread: neither the number of workers nor the order of batches changes a voxel.
"""

import multiprocessing
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
import torchio
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import Dataset

from volbench._utils.device import send
from volbench.data.cache.packed_voxels import Prepared
from volbench.data.loading.loader import Batch
from volbench.data.loading.prepared_subjects import prepared_subject
from volbench.data.subjects.numbered_slices import (
    SLICE_NUMBERS,
    nearest_slices,
    numbered_slices,
)
from volbench.errors import TrainingError, UsageError

Request: TypeAlias = tuple[int, int]
"""Place of a case in the prepared data, and the seed of its transform."""

WORKERS = "VOLBENCH_AUGMENTATION_WORKERS"
MOST_WORKERS = 4


@dataclass(frozen=True)
class AugmentedCase:
    """A case after its transform.

    Attributes:
        volume: ``[channel, slice, height, width]``.
        representative: Where its representative slices are now.
    """

    case: int
    volume: Float[Tensor, "channel slice height width"]
    representative: tuple[int, ...]


def augmented_case(
    prepared: Prepared, index: int, transform: Callable[[Any], Any], seed: int
) -> AugmentedCase:
    """Transform one prepared case; the random numbers of this process stay as they are.

    Args:
        prepared: The cache.
        index: Place of the case in it.
        transform: A TorchIO transform.
        seed: What ``torch.manual_seed`` is called with before it.

    Raises:
        TrainingError: the transform fails, or changes the size of the volume.
    """
    case = prepared.cases[index]
    subject = prepared_subject(prepared, index)
    first = subject[prepared.channels[0]]
    if case.representative:
        subject.add_image(numbered_slices(first, axis=2), SLICE_NUMBERS)
    try:
        with seeded(seed):
            subject = transform(subject)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise TrainingError(f"case {case.name}: {transform} fails ({reason})") from error
    volumes = [subject[name].data for name in prepared.channels]
    if any(volume.shape != first.data.shape for volume in volumes):
        raise TrainingError(
            f"case {case.name}: {transform} makes {tuple(volumes[0].shape[1:])} voxels of "
            f"{tuple(first.data.shape[1:])}; an augmentation must keep the size"
        )
    volume = rearrange(torch.cat(volumes), "c w h s -> c s h w").float().contiguous()
    numbers = case.representative
    if numbers:
        labels = rearrange(subject[SLICE_NUMBERS].data[0], "w h s -> s h w").numpy()
        numbers = nearest_slices(labels, numbers, strict=False)
    return AugmentedCase(index, volume, numbers)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed PyTorch and use one thread inside; both are as before afterwards."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


class SubjectBatches:
    """Batches of transformed cases, made by workers ahead of the device.

    Args:
        prepared: The cache.
        transform: A TorchIO transform.
        device: Where batches go.
        workers: Processes; 0 transforms in this one.
    """

    def __init__(
        self,
        prepared: Prepared,
        transform: Callable[[Any], Any],
        device: torch.device,
        *,
        workers: int,
    ) -> None:
        if workers:
            _allow_children()
        self.device = device
        self.labels = torch.tensor([case.label for case in prepared.cases], device=device)
        self._order = _Order()
        with _any_number_of_workers():
            self._loader = torchio.SubjectsLoader(
                _Cases(prepared, transform),
                batch_sampler=self._order,
                collate_fn=_padded,
                num_workers=workers,
                persistent_workers=workers > 0,
                worker_init_fn=_start_worker,
                pin_memory=device.type == "cuda",
                multiprocessing_context="fork" if workers else None,  # shares the cache's index
            )

    def batches(self, order: Sequence[Sequence[Request]]) -> Iterator[Batch]:
        """Yield a batch for each list of requests."""
        self._order.batches = order
        with _any_number_of_workers():
            batches = iter(self._loader)
        for cases, volume, lengths, numbers in batches:
            real = torch.arange(volume.shape[2])[None, :] < lengths[:, None]
            labels = self.labels.index_select(0, send(cases, self.device))
            yield Batch(
                cases=cases.numpy(),
                volume=send(volume, self.device),
                mask=None if bool(real.all()) else real,
                labels=labels,
                representative=numbers,
            )


def worker_count(threads: int, device: torch.device) -> int:
    """How many workers transform ahead: $VOLBENCH_AUGMENTATION_WORKERS, else what is idle.

    Beside a GPU that is one per thread, four at most. On a CPU the network itself keeps the
    threads busy, so there is one worker for every two of them.

    Raises:
        UsageError: the variable is no number.
    """
    text = os.environ.get(WORKERS)
    if text is not None:
        if not text.isdecimal():
            raise UsageError(f"{WORKERS}={text!r} is not a number of processes; give 0 or more")
        return int(text)
    return min(MOST_WORKERS, threads if device.type == "cuda" else threads // 2)


@contextmanager
def _any_number_of_workers() -> Iterator[None]:
    """Silence the warning of more workers than cores: the user asked for them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        yield


def _start_worker(number: int) -> None:
    """Keep SimpleITK, beneath TorchIO's spatial transforms, to the one thread of its worker."""
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def _allow_children() -> None:
    """Let a process that trains one of several folds start workers of its own.

    Python forbids it to daemons, as it cannot promise to end their children. These end themselves:
    PyTorch's workers watch their parent.
    """
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]


class _Cases(Dataset["AugmentedCase"]):
    def __init__(self, prepared: Prepared, transform: Callable[[Any], Any]) -> None:
        self.prepared = prepared
        self.transform = transform

    def __getitem__(self, request: Request) -> AugmentedCase:
        index, seed = request
        return augmented_case(self.prepared, index, self.transform, seed)


class _Order:
    """What the loader is to deliver next; set anew for each epoch."""

    def __init__(self) -> None:
        self.batches: Sequence[Sequence[Request]] = ()

    def __iter__(self) -> Iterator[Sequence[Request]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def _padded(
    cases: Sequence[AugmentedCase],
) -> tuple[Tensor, Tensor, Tensor, list[tuple[int, ...]]]:
    """Stack cases, padded with zeros to the most slices among them."""
    lengths = torch.tensor([case.volume.shape[1] for case in cases])
    channels, _, height, width = cases[0].volume.shape
    volume = torch.zeros(len(cases), channels, int(lengths.max()), height, width)
    for place, case in zip(volume, cases, strict=True):
        place[:, : case.volume.shape[1]] = case.volume
    indices = torch.from_numpy(np.array([case.case for case in cases]))
    return indices, volume, lengths, [case.representative for case in cases]
