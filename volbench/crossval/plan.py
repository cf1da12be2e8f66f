"""Plan of a run: components, recipe, prepared data and splits, all validated."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from volbench._utils.text import plural
from volbench.crossval.duplicate_scans import check_copies
from volbench.crossval.shared_inputs import Shared
from volbench.data.cache.packed_voxels import Prepared
from volbench.data.checking.prepared_notes import prepared_notes
from volbench.data.preparation.prepare_data import default_options
from volbench.encoders.building import pin_weights, starts_from_weights
from volbench.errors import UsageError
from volbench.experiment.experiment import (
    Experiment,
    Level,
    Precision,
    Tabular,
    parse_components,
)
from volbench.experiment.ineffective_settings import ineffective_settings
from volbench.experiment.permuted_labels import permute_labels
from volbench.experiment.recipe import Recipe, load_recipe, own_keys
from volbench.experiment.splits import FoldPartition, Split
from volbench.interfaces import Encoder, Problem
from volbench.losses.weighted_sum import build_loss, conditional_head, terms_that_need_pairs
from volbench.spec import Spec, Sum
from volbench.training.classifier import build_classifier, count_parameters
from volbench.training.inference import check_representative
from volbench.training.tta import build_views

logger = logging.getLogger(__name__)

DEFAULT_DATA = "phantom"

FEW_TO_SELECT = 3
"""Cases of a class in an inner validation part, below which its choice is not to be trusted."""

PRETRAINED_LR_SCALE = 0.1
"""Rate of pretrained weights beside that of a new head, which would otherwise destroy them."""

INTENSITIES = {"zscore": "zscore", "window": "unit", "percentile": "unit", "byte": "byte"}
"""What each normalisation of prepared volumes gives, as encoders name it."""


@dataclass(frozen=True)
class Plan:
    """An experiment with the data and the split it speaks of, ready to run.

    Attributes:
        parameters: How many are trained.
        notes: Defaults that followed from other options, a line each.
        duplicates: Names of equal volumes on both sides of a fold, where they were allowed.
        tabular: Columns to predict from beside the images, checked; None for images alone.
    """

    experiment: Experiment
    prepared: Prepared
    split: Split
    parameters: int
    notes: tuple[str, ...] = ()
    duplicates: tuple[tuple[str, str], ...] = ()
    tabular: Tabular | None = None

    def __repr__(self) -> str:
        cases = plural(len(self.prepared.cases), "case")
        return f"<plan of {self.experiment!r}, {cases}, {self.parameters:,} parameters>"

    def part(self, fold: int) -> FoldPartition:
        """The cases of one fold."""
        selection = self.experiment.recipe.selection
        uses_validation = selection.checkpoint == "validation"
        return self.split.part(
            fold,
            validation_fraction=selection.validation_fraction if uses_validation else None,
            seed=self.experiment.seed,
            train_share=self.experiment.train_share,
        )


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
    tabular: tuple[str, ...] = (),
    folds_seed: int | None = None,
    permuted: bool = False,
    train_share: float = 1.0,
    cache: Path | None = None,
    jobs: int | None = None,
    on_case: Callable[[int, int], None] | None = None,
    shared: Shared | None = None,
    allow_duplicates: bool = False,
) -> Plan:
    """Read and check everything, prepare the data, divide it; trains nothing.

    Specs and recipe are checked before any volume is read. Plans that are given the same
    ``shared`` have their data prepared and divided once.

    ``folds_seed`` is the seed of the folds where it is not that of training, so that several seeds
    are trained on the same folds. ``permuted`` exchanges labels between patients: a check, which
    must give chance. ``train_share`` is the share of each training part that is learned from.

    Raises:
        VolbenchError: anything that would stop the run later.
    """
    if not 0 < train_share <= 1:
        raise UsageError(f"--train-share {train_share:g} is not a share above 0 and at most 1")
    encoder_spec, aggregator_spec, loss_sum = parse_components(encoder, aggregator, loss, level)
    resolved = load_recipe(recipe, overrides, preprocessing=default_options(data))
    build_views(resolved, seed)
    _check_level(resolved, level)
    model = build_classifier(encoder_spec, aggregator_spec, in_channels=1, num_classes=2)
    build_loss(loss_sum, Problem((1, 1), model.num_features))

    shared = shared or Shared()
    prepared = shared.prepare(data, resolved.preprocessing, root=cache, jobs=jobs, on_case=on_case)
    if level == "slice":
        check_representative(prepared.cases)
    if permuted:
        prepared = permute_labels(prepared, seed)
    split = shared.split(folds, prepared, seed if folds_seed is None else folds_seed)
    _check_batch(resolved, len(prepared.classes), loss_sum)
    model = build_classifier(
        encoder_spec,
        aggregator_spec,
        in_channels=len(prepared.channels),
        num_classes=len(prepared.classes),
        conditional=conditional_head(loss_sum),
    )
    some_of_each = (1,) * len(prepared.classes)
    build_loss(loss_sum, Problem(some_of_each, model.num_features, ordered=prepared.ordered))
    pinned, weights = pin_weights(encoder_spec)
    resolved, notes = with_encoder_rate(resolved, encoder_spec)
    notes += tuple(prepared_notes(prepared))
    notes += _on_intensities(model.encoder, prepared.preprocessing.normalize)
    resolved = resolved.model_copy(update={"preprocessing": prepared.preprocessing})
    notes += ineffective_settings((*own_keys(recipe), *overrides), resolved)
    experiment = Experiment(
        encoder=pinned,
        aggregator=aggregator_spec,
        loss=loss_sum,
        recipe=resolved,
        source=prepared.source,
        data_digest=prepared.digest,
        split_digest=split.digest,
        folds=len(split.folds),
        seed=seed,
        precision=precision,
        weights=weights,
        permuted=permuted,
        train_share=train_share,
    )
    plan = Plan(experiment, prepared, split, count_parameters(model), notes)
    parts = [plan.part(fold) for fold in split.folds]  # what cannot be divided stops the run now
    plan = replace(plan, notes=(*plan.notes, *_thin_parts(parts, prepared)))
    if tabular:
        from volbench.crossval.tabular import check_columns, gaps  # scikit-learn

        columns = check_columns(tabular, prepared, parts, seed=seed)
        plan = replace(plan, tabular=columns, notes=(*plan.notes, *gaps(columns)))
    duplicates, warned = check_copies(prepared, parts, allow=allow_duplicates, cache=cache)
    plan = replace(plan, duplicates=duplicates, notes=(*plan.notes, *warned))
    logger.info(
        "experiment %s: %d cases, %d folds, data %s, split %s",
        experiment.id[:8],
        len(prepared.cases),
        len(split.folds),
        prepared.digest[:8],
        split.digest[:8],
    )
    return plan


def with_encoder_rate(recipe: Recipe, encoder: Spec) -> tuple[Recipe, tuple[str, ...]]:
    """Choose the rate of an encoder that starts from weights, where the recipe leaves it open."""
    optimizer = recipe.optimizer
    starts = starts_from_weights(encoder)
    trained_whole = encoder.kwargs.get("freeze", False) is not True
    if optimizer.encoder_lr_scale is None and starts and trained_whole:
        if encoder.kwargs.get("adapt") is not None:
            return recipe, (
                "the encoder is adapted, at the full rate; "
                "--set optimizer.encoder_lr_scale=0.1 adapts it at a tenth",
            )
        changed = optimizer.model_copy(update={"encoder_lr_scale": PRETRAINED_LR_SCALE})
        note = (
            f"the encoder starts from weights: optimizer.encoder_lr_scale={PRETRAINED_LR_SCALE}, "
            f"warm-up over {recipe.schedule.warmup_fraction:.0%} of the steps; "
            "--set optimizer.encoder_lr_scale=1 trains it at the full rate"
        )
        return recipe.model_copy(update={"optimizer": changed}), (note,)
    if optimizer.encoder_lr_scale == 1 and not starts:  # says what is so anyhow
        changed = optimizer.model_copy(update={"encoder_lr_scale": None})
        return recipe.model_copy(update={"optimizer": changed}), ()
    return recipe, ()


def _on_intensities(encoder: Encoder, normalize: str) -> tuple[str, ...]:
    """Say that an encoder is shown other intensities than it was told to expect."""
    given = INTENSITIES.get(normalize)
    if encoder.intensities is None or given in (None, encoder.intensities):
        return ()
    return (
        f"the encoder takes prepared voxels as normalize={encoder.intensities!r} says, but "
        f"preprocessing.normalize={normalize} gives {given!r}; give the encoder "
        f"normalize={given!r}",
    )


def _thin_parts(parts: Sequence[FoldPartition], prepared: Prepared) -> Iterator[str]:
    """Say where a class is missing in a part, or nearly so in what picks the epoch."""
    labels, classes = [case.label for case in prepared.cases], prepared.classes
    for number, part in enumerate(parts):
        trained = {labels[index] for index in part.train}
        for label in sorted(set(range(len(classes))) - trained):
            yield (
                f"fold {number} trains on no case of class {classes[label]!r}, and cannot learn "
                "it; use fewer folds or another split"
            )
        held_out = {labels[index] for index in part.test}
        for label in sorted(set(range(len(classes))) - held_out):
            yield (
                f"fold {number} holds out no case of class {classes[label]!r}, so it has no AUC, "
                "and pairs are tested on the other folds; use another split"
            )
    counts = [
        Counter(labels[index] for index in part.validation)[label]
        for part in parts
        if part.validation
        for label in range(len(classes))
    ]
    if counts and min(counts) < FEW_TO_SELECT:
        logger.info(
            "the inner validation parts hold as few as %d cases of a class, so which epoch they "
            "pick is largely chance; --set selection.validation_fraction=0.3 holds back more, "
            "--set selection.checkpoint=last needs none",
            min(counts),
        )


def _check_level(recipe: Recipe, level: Level) -> None:
    """Refuse what one level cannot use."""
    if level == "volume" and recipe.training.sampler == "weighted_slices":
        raise UsageError(
            "training.sampler=weighted_slices counts representative slices, which --level volume "
            "does not predict; use --set training.sampler=weighted"
        )
    if level == "slice" and recipe.regularization.slice_dropout:
        raise UsageError(
            f"regularization.slice_dropout={recipe.regularization.slice_dropout} hides slices from "
            "an aggregator, and --level slice has none; leave it out"
        )


def _check_batch(recipe: Recipe, classes: int, loss: Sum) -> None:
    """Refuse batches too small for what is asked of them, with the number to use."""
    size = recipe.training.batch_size
    pairs = terms_that_need_pairs(loss)
    least = classes * (2 if pairs else 1)
    if recipe.training.sampler == "balanced" and size < least:
        why = (
            f"two cases of each of {classes} classes, without which {pairs[0]} is 0 in every batch"
            if pairs
            else f"one case of each of {classes} classes"
        )
        raise UsageError(
            f"training.batch_size={size} cannot hold {why}; use --set training.batch_size={least} "
            "or more, or --set training.sampler=weighted"
        )
