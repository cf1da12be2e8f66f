"""Training batches of a fold: sampled, gathered and augmented from the seed."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from volbench._utils.case_generator import CaseGenerator
from volbench.data.cache.packed_voxels import Prepared
from volbench.data.loading.loader import Batch, Loader
from volbench.data.loading.sampler import epoch_batches
from volbench.experiment.recipe import Recipe
from volbench.interfaces import Augmentation
from volbench.profiling.section_timer import AUGMENT, TRANSFORM, WAIT, Clock

if TYPE_CHECKING:
    from volbench.data.loading.subjects_loader import SubjectBatches


class TrainingBatches:
    """Draws every epoch's batches anew.

    Args:
        prepared: The data set.
        loader: Gathers its cases.
        train: Indices of the training cases.
        recipe: Says how many of which class make a batch.
        augmentation: Of every case.
        seed: Derives a seed from a path of names and numbers.
        clock: Told of waiting and of augmenting.
        subjects: Where cases go through TorchIO's transforms first, in place of ``loader``.

    Attributes:
        waited: Seconds of the last epoch that were spent waiting for TorchIO's transforms.
    """

    def __init__(
        self,
        prepared: Prepared,
        loader: Loader,
        train: tuple[int, ...],
        recipe: Recipe,
        augmentation: Augmentation,
        seed: Callable[..., int],
        clock: Clock,
        subjects: "SubjectBatches | None" = None,
    ) -> None:
        self.prepared = prepared
        self.loader = loader
        self.train = np.asarray(train)
        self.recipe = recipe
        self.augmentation = augmentation
        self.seed = seed
        self.clock = clock
        self.subjects = subjects
        self.waited = 0.0
        self.representative = np.array([len(prepared.cases[each].representative) for each in train])

    def draw(self, epoch: int) -> list[np.ndarray]:
        """Draw the cases of each batch of an epoch."""
        batches = epoch_batches(
            self.recipe.training.sampler,
            self.loader.labels[self.train],
            self.loader.slices[self.train],
            batch_size=self.recipe.training.batch_size,
            seed=self.seed("batches", epoch),
            representative=self.representative,
        )
        return [self.train[batch] for batch in batches]

    def augmented(self, order: list[np.ndarray], epoch: int) -> Iterator[Batch]:
        """Gather and augment what was drawn; a case drawn again in an epoch is augmented anew."""
        self.waited = 0.0
        seeds = self._seeds(order, epoch)
        batches = (
            self.loader.batches(order) if self.subjects is None else self._transformed(order, seeds)
        )
        for of_cases in seeds:
            if self.subjects is None:
                with self.clock.section(WAIT):
                    batch = next(batches)
            else:
                batch = next(batches)
            with self.clock.section(AUGMENT):
                generator = CaseGenerator(of_cases, self.loader.device)
                volume = self.augmentation(batch.volume, batch.full_mask(), generator)
            yield replace(batch, volume=volume)

    def _seeds(self, order: list[np.ndarray], epoch: int) -> list[list[int]]:
        """Derive the seed of every case of every batch from its name, whatever its place."""
        seen: Counter[int] = Counter()
        seeds = []
        for cases in order:
            of_cases = []
            for index in map(int, cases):
                name = self.prepared.cases[index].name
                of_cases.append(self.seed("augment", epoch, name, seen[index]))
                seen[index] += 1
            seeds.append(of_cases)
        return seeds

    def _transformed(self, order: list[np.ndarray], seeds: list[list[int]]) -> Iterator[Batch]:
        """Take batches from TorchIO's workers; the time they let the device wait is kept."""
        assert self.subjects is not None
        requests = [
            list(zip(map(int, cases), of_cases, strict=True))
            for cases, of_cases in zip(order, seeds, strict=True)
        ]
        batches = self.subjects.batches(requests)
        for _ in order:
            start = time.perf_counter()
            with self.clock.section(TRANSFORM):
                batch = next(batches)
            self.waited += time.perf_counter() - start
            yield batch
