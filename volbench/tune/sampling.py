"""Samplers and pruners by name; a sampler whose draws follow from the trial, not from the process.

Optuna seeds a sampler once per process, so a search that was cut off would go on with other draws.
Here each trial has a sampler of its own, seeded with the trial's place in the search.
"""

from collections.abc import Callable
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from volbench._utils.seeds import derive_seed
from volbench.experiment.search_space import Space
from volbench.tune.settings import Settings
from volbench.tune.storage import quietly

SEEDS = 2**32


class SeededByTrial(BaseSampler):  # type: ignore[misc]  # optuna is not followed
    """Hands each trial to a sampler of its own.

    Args:
        make: Makes the sampler of the trial with this place in the search.
        place: Place of a trial; a trial tried again keeps that of the first attempt.
    """

    def __init__(
        self, make: Callable[[int], BaseSampler], place: Callable[[Study, FrozenTrial], int]
    ) -> None:
        self._make = make
        self._place = place
        self._of: tuple[int, BaseSampler] | None = None

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """See `BaseSampler`; the first of its methods that a trial calls."""
        own = self._make(self._place(study, trial))
        self._of = (trial.number, own)
        found: dict[str, BaseDistribution] = own.infer_relative_search_space(study, trial)
        return found

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """See `BaseSampler`."""
        drawn: dict[str, Any] = self._own(trial).sample_relative(study, trial, search_space)
        return drawn

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """See `BaseSampler`."""
        return self._own(trial).sample_independent(study, trial, param_name, param_distribution)

    def _own(self, trial: FrozenTrial) -> BaseSampler:
        assert self._of is not None
        assert self._of[0] == trial.number
        return self._of[1]


def make_sampler(
    settings: Settings, seed: int, outer: int, place: Callable[[Study, FrozenTrial], int]
) -> SeededByTrial:
    """Build the sampler of one study."""

    def make(trial: int) -> BaseSampler:
        own = derive_seed(seed, "sampler", outer, trial) % SEEDS
        with quietly():
            if settings.sampler == "random":
                return optuna.samplers.RandomSampler(seed=own)
            if settings.sampler == "qmc":
                # One sequence, of which each trial takes the next point: the storage counts them.
                whole = derive_seed(seed, "sampler", outer) % SEEDS
                return optuna.samplers.QMCSampler(
                    seed=whole, scramble=True, warn_independent_sampling=False
                )
            return optuna.samplers.TPESampler(seed=own, n_startup_trials=settings.startup)

    return SeededByTrial(make, place)


def make_pruner(settings: Settings) -> optuna.pruners.BasePruner:
    """Build the pruner of one study."""
    with quietly():
        if settings.pruner == "wilcoxon":
            return optuna.pruners.WilcoxonPruner(p_threshold=settings.prune_below)
        if settings.pruner == "median":
            return optuna.pruners.MedianPruner(n_startup_trials=settings.startup)
        return optuna.pruners.NopPruner()


def distribution(space: Space) -> BaseDistribution:
    """Say a search space in Optuna's words; choices as text, which any storage keeps."""
    if space.among:
        return CategoricalDistribution(space.texts)
    if space.whole:
        return IntDistribution(int(space.low), int(space.high), log=space.log)
    return FloatDistribution(float(space.low), float(space.high), log=space.log)
