"""Test-time views of a case: the volume as it is, or random augmentations of it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from volbench._utils.case_generator import CaseGenerator
from volbench._utils.seeds import derive_seed
from volbench.augmentations.chain import build_augmentation
from volbench.data.loading.loader import Batch
from volbench.errors import SpecError
from volbench.experiment.recipe import Recipe
from volbench.interfaces import Augmentation
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
        subject: The TorchIO transform that training cases went through before ``training``.
    """

    training: Augmentation
    test: Augmentation | None
    passes: int
    seed: int
    subject: Callable[[Any], Any] | None = None

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
    plan = build_augmentation(recipe.training.augmentation)
    spec, passes = recipe.tta.augmentation, recipe.tta.passes
    if passes and spec == AS_IN_TRAINING and plan.subject is not None:
        raise SpecError(
            "tta.passes: TorchIO's transforms run in training only; set tta.passes=0, or "
            "tta.augmentation to one of volbench's own"
        )
    test = None if spec == AS_IN_TRAINING else _on_device(spec)
    return Views(plan.batch, test, passes, seed, plan.subject)


def _on_device(spec: str) -> Augmentation:
    plan = build_augmentation(spec)
    if plan.subject is not None:
        raise SpecError(f"tta.augmentation={spec}: TorchIO's transforms run in training only")
    return plan.batch
