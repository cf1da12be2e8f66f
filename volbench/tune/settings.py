"""Settings of a search: trials, inner folds, sampler, pruner; part of the experiment's id."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from volbench.errors import UsageError
from volbench.experiment.recipe import Recipe

SamplerName: TypeAlias = Literal["tpe", "random", "qmc"]
PrunerName: TypeAlias = Literal["wilcoxon", "median", "none"]


@dataclass(frozen=True)
class Settings:
    """What decides a search besides its space and the experiment's seed.

    Attributes:
        trials: Candidates tried per study; those that fail count.
        inner_folds: Folds made of the cases that a study may see.
        sampler: Who proposes the next candidate.
        pruner: Who ends a trial early. ``wilcoxon`` after an inner fold, ``median`` after an epoch.
        prune_below: p of the Wilcoxon test below which a trial ends.
        flat: One study on all cases, instead of one per outer fold on its training part.
    """

    trials: int = 20
    inner_folds: int = 3
    sampler: SamplerName = "tpe"
    pruner: PrunerName = "wilcoxon"
    prune_below: float = 0.1
    flat: bool = False

    @property
    def startup(self) -> int:
        """Trials drawn at random before TPE has anything to go by.

        Optuna's ten would leave a study of ten to chance.
        """
        return min(10, max(4, self.trials // 4))

    @property
    def can_prune(self) -> bool:
        """Whether the pruner can end any trial before its last inner fold.

        Among n differences that all point one way the signed-rank test has p = 1 / 2^n, and n is
        at most one less than there are folds, or nothing would be saved.
        """
        if self.pruner == "wilcoxon":
            return self.inner_folds > 2 and 0.5 ** (self.inner_folds - 1) < self.prune_below
        return self.pruner == "median"

    def check(self, recipe: Recipe) -> None:
        """Refuse what cannot work with a recipe.

        Raises:
            UsageError: the median pruner has nothing to compare.
        """
        if self.pruner == "median" and recipe.selection.checkpoint != "validation":
            raise UsageError(
                "--pruner median compares the validation AUC of each epoch, but "
                f"selection.checkpoint={recipe.selection.checkpoint} keeps no validation part; "
                "use --pruner wilcoxon"
            )

    def notice(self) -> str:
        """What a person should know before starting; empty where there is nothing."""
        if self.pruner == "wilcoxon" and not self.can_prune:
            needed = next(n for n in range(3, 99) if 0.5 ** (n - 1) < max(self.prune_below, 1e-9))
            return (
                f"with {self.inner_folds} inner folds the Wilcoxon test cannot reach "
                f"p < {self.prune_below:g} before the last one, so no trial ends early; "
                f"--inner-folds {needed} would let it"
            )
        return ""
