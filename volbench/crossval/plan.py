"""From options to a checked experiment: components, recipe, prepared data and split."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from volbench.crossval.shared_inputs import Shared
from volbench.data.cache.packed import Prepared
from volbench.data.preparation.prepare_data import default_options
from volbench.errors import UsageError
from volbench.experiment.experiment import Experiment, Level, Precision, parse_components
from volbench.experiment.recipe import Recipe, load_recipe
from volbench.experiment.splits import FoldPartition, Split
from volbench.interfaces import Problem
from volbench.losses.weighted_sum import build_loss
from volbench.training.classifier import build_classifier, count_parameters
from volbench.training.inference import check_representative
from volbench.training.tta import build_views

DEFAULT_DATA = "phantom"


@dataclass(frozen=True)
class Plan:
    """An experiment with the data and the split it speaks of, ready to run."""

    experiment: Experiment
    prepared: Prepared
    split: Split
    parameters: int

    def part(self, fold: int) -> FoldPartition:
        """The cases of one fold."""
        selection = self.experiment.recipe.selection
        uses_validation = selection.checkpoint == "validation"
        return self.split.part(
            fold,
            validation_fraction=selection.validation_fraction if uses_validation else None,
            seed=self.experiment.seed,
        )

    def training_pixels(self) -> float:
        """All pixels that the folds' networks are trained on, over all epochs."""
        parts = [self.part(fold) for fold in self.split.folds]
        slices = sum(self.prepared.cases[index].slices for part in parts for index in part.train)
        height, width = self.prepared.voxels.shape[2:]
        return float(slices * height * width * self.experiment.recipe.training.epochs)


def make_plan(
    *,
    encoder: str,
    aggregator: str | None,
    loss: str,
    data: Any = DEFAULT_DATA,
    level: Level = "volume",
    recipe: str = "standard",
    overrides: tuple[str, ...] = (),
    folds: str = "10",
    seed: int = 0,
    precision: Precision = "auto",
    cache: Path | None = None,
    jobs: int | None = None,
    on_case: Callable[[int, int], None] | None = None,
    shared: Shared | None = None,
) -> Plan:
    """Read and check everything, prepare the data, divide it; trains nothing.

    Specs and recipe are checked before any volume is read. Plans that are given the same
    ``shared`` have their data prepared and divided once.

    Raises:
        VolbenchError: anything that would stop the run later.
    """
    encoder_spec, aggregator_spec, loss_sum = parse_components(encoder, aggregator, loss, level)
    resolved = load_recipe(recipe, overrides, preprocessing=default_options(data))
    build_views(resolved, seed)
    model = build_classifier(encoder_spec, aggregator_spec, in_channels=1, num_classes=2)
    build_loss(loss_sum, Problem((1, 1), model.num_features))

    shared = shared or Shared()
    prepared = shared.prepare(data, resolved.preprocessing, root=cache, jobs=jobs, on_case=on_case)
    if level == "slice":
        check_representative(prepared.cases)
    split = shared.split(folds, prepared, seed)
    _check_batch(resolved, len(prepared.classes))
    model = build_classifier(
        encoder_spec,
        aggregator_spec,
        in_channels=len(prepared.channels),
        num_classes=len(prepared.classes),
    )
    experiment = Experiment(
        encoder=encoder_spec,
        aggregator=aggregator_spec,
        loss=loss_sum,
        recipe=resolved.model_copy(update={"preprocessing": prepared.preprocessing}),
        source=prepared.source,
        data_digest=prepared.digest,
        split_digest=split.digest,
        folds=len(split.folds),
        seed=seed,
        precision=precision,
    )
    plan = Plan(experiment, prepared, split, count_parameters(model))
    for fold in split.folds:  # a fold that cannot be divided stops the run now, not in an hour
        plan.part(fold)
    return plan


def _check_batch(recipe: Recipe, classes: int) -> None:
    size = recipe.training.batch_size
    if recipe.training.sampler == "balanced" and size < classes:
        raise UsageError(
            f"training.batch_size={size} cannot hold one case of each of {classes} classes; "
            "raise it or use --set training.sampler=weighted"
        )
