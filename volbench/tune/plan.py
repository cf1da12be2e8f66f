"""Plan of a tuning: search space, outer and inner folds, all validated."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from volbench._utils.seeds import derive_seed
from volbench.crossval.plan import DEFAULT_DATA, Plan, make_plan, with_encoder_rate
from volbench.data.preparation.prepare_data import default_options
from volbench.encoders.building import pin_weights
from volbench.errors import DataError
from volbench.experiment.experiment import Experiment, Level, Precision, parse_components
from volbench.experiment.recipe import load_recipe
from volbench.experiment.split_designs import make_split
from volbench.experiment.splits import FoldPartition, Split
from volbench.spec import Value
from volbench.tune.settings import Settings
from volbench.tune.template import Template, TriedCandidate, read_template

FLAT = -1
"""Stands for the outer fold of a study that sees all cases."""


@dataclass(frozen=True)
class Inner:
    """The cases that one study may see, divided into inner folds.

    Attributes:
        outer: The outer fold that is held out of them; `FLAT` if none is.
        split: Of these cases only: no other can be reached through it.
        indices: Where each of them is in the prepared data.
    """

    outer: int
    split: Split
    indices: tuple[int, ...]

    def part(self, fold: int, experiment: Experiment) -> FoldPartition:
        """The cases of one inner fold, by their index in the prepared data."""
        selection = experiment.recipe.selection
        uses_validation = selection.checkpoint == "validation"
        part = self.split.part(
            fold,
            validation_fraction=selection.validation_fraction if uses_validation else None,
            seed=experiment.seed,
        )
        return FoldPartition(
            train=self._there(part.train),
            validation=self._there(part.validation),
            test=self._there(part.test),
        )

    def _there(self, positions: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(self.indices[position] for position in positions)


@dataclass(frozen=True)
class TuningPlan:
    """A checked tuning, ready to run.

    Attributes:
        plan: Of the outer folds; its components and recipe are those of the middle candidate.
        inner: What each study may see, by its outer fold.
        asked: Components and overrides with their search spaces, as given.
        recipe: Name or path, as given.
        data: As given.
        folds: As given.
    """

    plan: Plan
    template: Template
    settings: Settings
    inner: Mapping[int, Inner]
    asked: TriedCandidate
    recipe: str
    data: str
    folds: str

    def values(self, drawn: Mapping[str, float | str]) -> dict[str, Value]:
        """What a trial tries, from what its sampler drew."""
        return {name: space.value(drawn[name]) for name, space in self.template.spaces.items()}

    def candidate(self, drawn: Mapping[str, float | str]) -> TriedCandidate:
        """The candidate of a trial."""
        return self.template.candidate(self.values(drawn))

    def experiment(self, candidate: TriedCandidate) -> Experiment:
        """A candidate on the outer folds.

        Raises:
            SpecError: a value is out of range.
        """
        ours = self.plan.experiment
        encoder, aggregator, loss = parse_components(
            candidate.encoder, candidate.aggregator, candidate.loss, ours.level
        )
        recipe = load_recipe(
            self.recipe, candidate.overrides, preprocessing=default_options(self.data)
        )
        recipe, _ = with_encoder_rate(recipe, encoder)
        pinned, weights = pin_weights(encoder)
        return replace(
            ours,
            encoder=pinned,
            aggregator=aggregator,
            loss=loss,
            weights=weights,
            recipe=recipe.model_copy(update={"preprocessing": ours.recipe.preprocessing}),
            tuning=None,
        )


def make_tuning_plan(
    *,
    encoder: str,
    aggregator: str | None,
    loss: str,
    settings: Settings = Settings(),  # noqa: B008 (frozen)
    data: str = DEFAULT_DATA,
    level: Level = "volume",
    recipe: str = "standard",
    overrides: tuple[str, ...] = (),
    folds: str = "10",
    seed: int = 0,
    precision: Precision = "auto",
    cache: Path | None = None,
    jobs: int | None = None,
    on_case: Callable[[int, int], None] | None = None,
    allow_duplicates: bool = False,
) -> TuningPlan:
    """Read and check everything, prepare the data, divide it twice; trains nothing.

    Components and overrides may hold search spaces; the other options are those of `make_plan`.

    Raises:
        VolbenchError: anything that would stop every trial later.
    """
    template = read_template(encoder, aggregator, loss, overrides, level)
    middle = template.middle()
    plan = make_plan(
        encoder=middle.encoder,
        aggregator=middle.aggregator,
        loss=middle.loss,
        data=data,
        level=level,
        recipe=recipe,
        overrides=middle.overrides,
        folds=folds,
        seed=seed,
        precision=precision,
        cache=cache,
        jobs=jobs,
        on_case=on_case,
        allow_duplicates=allow_duplicates,
    )
    settings.check(plan.experiment.recipe)
    tuning = {
        "shown": template.shown(),
        "space": {name: str(space) for name, space in template.spaces.items()},
        "settings": asdict(settings),
    }
    plan = replace(plan, experiment=replace(plan.experiment, tuning=tuning))
    outer = (FLAT,) if settings.flat else plan.split.folds
    inner = {fold: _inner(plan, fold, settings.inner_folds) for fold in outer}
    for each in inner.values():
        for fold in each.split.folds:
            each.part(fold, plan.experiment)
    asked = TriedCandidate(encoder, aggregator, loss, overrides)
    return TuningPlan(plan, template, settings, inner, asked, recipe, data, folds)


def _inner(plan: Plan, outer: int, folds: int) -> Inner:
    if outer == FLAT:
        indices = tuple(range(len(plan.prepared.cases)))
    else:
        part = plan.part(outer)
        indices = tuple(sorted((*part.train, *part.validation)))
    cases = [plan.prepared.cases[index] for index in indices]
    try:
        split = make_split(cases, folds, derive_seed(plan.experiment.seed, "tune", outer))
    except DataError as error:
        where = "all cases" if outer == FLAT else f"what outer fold {outer} trains on"
        reason = str(error).replace("--folds", "--inner-folds")
        raise DataError(f"--inner-folds {folds}, made of {where}: {reason}") from None
    return Inner(outer, split, indices)
