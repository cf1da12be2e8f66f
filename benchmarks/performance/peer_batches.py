"""How MONAI, TorchIO and torchvision make an epoch's batches: same geometry, their own best way.

The geometry is that of same_geometry.py, and contrast and brightness change by up to 10 %; all
slices of a case alike.
"""

from collections.abc import Callable, Iterable, Iterator

import torch
from same_geometry import (
    BEND,
    MONAI_FLIP,
    ROTATE_DEG,
    SCALE,
    SHIFT,
    monai_elastic,
    torchio_parts,
    volbench_spec,
)
from torch.utils.data import DataLoader, Dataset
from trainers import EpochSampler, PeerBatch, collate, read

from volbench.crossval.plan import Plan

SHADE = 0.1
OURS = volbench_spec(f"shade_p=1, brightness={SHADE}, contrast={SHADE}")
"""The same for volbench."""

Batches = Callable[[EpochSampler], Iterable[PeerBatch]]


def monai(plan: Plan, device: str) -> Batches:
    """Cached on the device, transformed there; slices as channels: one 2D grid serves all."""
    from monai.data import CacheDataset, ThreadDataLoader, set_track_meta
    from monai.transforms import (
        Compose,
        Rand2DElasticd,
        RandFlipd,
        RandScaleIntensityd,
        RandShiftIntensityd,
    )

    set_track_meta(False)
    transform = Compose(
        [
            Rand2DElasticd("image", **monai_elastic(plan.prepared.preprocessing.size, device)),
            RandFlipd("image", **MONAI_FLIP),
            RandScaleIntensityd("image", factors=SHADE, prob=1),
            RandShiftIntensityd("image", offsets=SHADE, prob=1),
        ]
    )
    channels = len(plan.prepared.channels)
    items, place = [], {}
    for index in plan.part(0).train:
        volume, label = read(plan, index)
        place[index] = len(items)
        items.append({"image": volume.flatten(0, 1).to(device), "label": label})
    data = CacheDataset(items, transform, num_workers=0, progress=False, copy_cache=False)

    def gather(drawn: list[dict[str, torch.Tensor]]) -> PeerBatch:
        pairs = [(each["image"].unflatten(0, (channels, -1)), each["label"]) for each in drawn]
        return collate(pairs, device)

    return lambda sampler: ThreadDataLoader(
        data, num_workers=0, batch_sampler=_Renumbered(sampler, place), collate_fn=gather
    )


def torchio(plan: Plan, device: str, *, workers: int) -> Batches:
    """SubjectsDataset with affine, elastic, flip and gamma, in worker processes."""
    import torchio as tio

    geometry = torchio_parts(plan.prepared.preprocessing.size)
    transform = tio.Compose([*geometry, tio.RandomGamma(log_gamma=SHADE)])
    subjects, place = [], {}
    for index in plan.part(0).train:
        volume, label = read(plan, index)
        place[index] = len(subjects)
        image = tio.ScalarImage(tensor=volume.permute(0, 3, 2, 1).contiguous())
        subjects.append(tio.Subject(image=image, label=label))
    data = tio.SubjectsDataset(subjects, transform=transform)

    def gather(drawn: list[object]) -> PeerBatch:
        return collate(
            [(each["image"].data.permute(0, 3, 2, 1), int(each["label"])) for each in drawn]
        )

    return lambda sampler: _on_device(
        _loader(data, _Renumbered(sampler, place), gather, workers, device), device
    )


def authors(plan: Plan, device: str, *, workers: int) -> Batches:
    """As the paper's code does it, in worker processes on the CPU, one draw for all slices.

    That code calls albumentations; torchvision's transforms with slices as channels stand in.
    """
    from torchvision.transforms import v2

    size = plan.prepared.preprocessing.size
    transform = v2.Compose(
        [
            # Smoothed over an eighth of the side, which leaves about a sixth of alpha's amplitude.
            v2.ElasticTransform(alpha=6 * BEND * size, sigma=size / 8),
            v2.RandomAffine(
                degrees=ROTATE_DEG,
                translate=(SHIFT, SHIFT),
                scale=(1 - SCALE, 1 + SCALE),
                interpolation=v2.InterpolationMode.BILINEAR,
            ),
            v2.RandomHorizontalFlip(),
        ]
    )
    data = _Transformed(plan, transform)
    return lambda sampler: _on_device(_loader(data, sampler, collate, workers, device), device)


class _Transformed(Dataset):
    """Reads a case and transforms it with its slices as channels."""

    def __init__(self, plan: Plan, transform: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self._plan, self._transform = plan, transform

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        volume, label = read(self._plan, index)
        contrast, brightness = 1 + SHADE * (2 * torch.rand(2) - 1) - torch.tensor([0.0, 1.0])
        moved = self._transform(volume.flatten(0, 1)).unflatten(0, volume.shape[:2])
        return moved.mul_(contrast).add_(brightness), label


def _loader(
    data: Dataset,
    sampler: Iterable[list[int]],
    gather: Callable[..., PeerBatch],
    workers: int,
    device: str,
) -> DataLoader:
    return DataLoader(
        data,
        batch_sampler=sampler,
        collate_fn=gather,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=device.startswith("cuda"),
    )


class _Renumbered:
    """Batches of cases as batches of places in a data set of its own."""

    def __init__(self, sampler: EpochSampler, place: dict[int, int]) -> None:
        self._sampler, self._place = sampler, place

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self._sampler:
            yield [self._place[index] for index in batch]

    def __len__(self) -> int:
        return len(self._sampler)


class _on_device:  # noqa: N801 (reads as what it does)
    """Sends batches to a device."""

    def __init__(self, batches: Iterable[PeerBatch], device: str) -> None:
        self._batches, self._device = batches, device

    def __iter__(self) -> Iterator[PeerBatch]:
        for batch in self._batches:
            yield PeerBatch(*(part.to(self._device, non_blocking=True) for part in batch))
