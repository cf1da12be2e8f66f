"""The batches a fold trains on: drawn from the seed, gathered, augmented case by case."""

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np

from volbench._utils.case_generator import CaseGenerator
from volbench.data.cache.packed import Prepared
from volbench.data.loading.loader import Batch, Loader
from volbench.data.loading.sampler import epoch_batches
from volbench.experiment.recipe import Recipe
from volbench.interfaces import Augmentation
from volbench.profiling.section_timer import AUGMENT, WAIT, Clock


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
    ) -> None:
        self.prepared = prepared
        self.loader = loader
        self.train = np.asarray(train)
        self.recipe = recipe
        self.augmentation = augmentation
        self.seed = seed
        self.clock = clock

    def draw(self, epoch: int) -> list[np.ndarray]:
        """Draw the cases of each batch of an epoch."""
        batches = epoch_batches(
            self.recipe.training.sampler,
            self.loader.labels[self.train],
            self.loader.slices[self.train],
            batch_size=self.recipe.training.batch_size,
            seed=self.seed("batches", epoch),
        )
        return [self.train[batch] for batch in batches]

    def augmented(self, order: list[np.ndarray], epoch: int) -> Iterator[Batch]:
        """Gather and augment what was drawn; a case drawn again in an epoch is augmented anew."""
        seen: Counter[int] = Counter()
        batches = self.loader.batches(order)
        for cases in order:
            seeds = []
            for index in map(int, cases):
                name = self.prepared.cases[index].name
                seeds.append(self.seed("augment", epoch, name, seen[index]))
                seen[index] += 1
            with self.clock.section(WAIT):
                batch = next(batches)
            with self.clock.section(AUGMENT):
                generator = CaseGenerator(seeds, self.loader.device)
                volume = self.augmentation(batch.volume, batch.full_mask(), generator)
            yield Batch(batch.cases, volume, batch.mask, batch.labels)
