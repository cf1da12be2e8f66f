"""What the network sees of a case when it is scored: the volume, or random views of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from volbench._utils.case_generator import CaseGenerator
from volbench._utils.seeds import derive_seed
from volbench.data.loading.loader import Batch
from volbench.experiment.recipe import Recipe
from volbench.interfaces import Augmentation
from volbench.plugins.registry import augmentations
from volbench.types import Volume

AS_IN_TRAINING = "train"


@dataclass(frozen=True)
class Views:
    """Test-time augmentation: probabilities are averaged over random views of each case.

    A case's views follow from the seed and its name, whatever its fold and its batch, so that a
    model meets a case in the same way wherever it is scored.

    Attributes:
        training: What the network was trained under; evaluation sees volumes of its size.
        test: What draws the views from those volumes; None draws them as in training.
        passes: Views of each case; 0 shows the case itself once.
    """

    training: Augmentation
    test: Augmentation | None
    passes: int
    seed: int

    def of(self, batch: Batch, names: Sequence[str]) -> Iterator[Volume]:
        """Yield the volumes whose probabilities are averaged."""
        if not self.passes:
            yield self.training.eval_view(batch.volume)
            return
        for number in range(self.passes):
            seeds = [derive_seed(self.seed, "tta", name, number) for name in names]
            generator = CaseGenerator(seeds, batch.volume.device)
            if self.test is None:
                yield self.training(batch.volume, batch.full_mask(), generator)
            else:
                still = self.training.eval_view(batch.volume)
                yield self.test(still, batch.full_mask(), generator)


def build_views(recipe: Recipe, seed: int) -> Views:
    """Build what a recipe scores with.

    Raises:
        SpecError: an augmentation cannot be built.
    """
    training = augmentations.build(recipe.training.augmentation, Augmentation)
    spec = recipe.tta.augmentation
    test = None if spec == AS_IN_TRAINING else augmentations.build(spec, Augmentation)
    return Views(training, test, recipe.tta.passes, seed)
