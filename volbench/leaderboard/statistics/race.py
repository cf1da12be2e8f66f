"""Racing: which candidates are shown worse after some folds, or settled, and need no more of them.

After each round, from the third on, two questions are asked of the candidates that are left.

- Is one *shown worse* than the leading one? By the statistic that decides in the tables
  (cross-validated z-test), whose variance is here at least what the folds of all candidates say of
  any pair, so that three lucky folds of one pair do not look certain. The level of all rounds
  together is that of one test, by Pocock's spending function, over the number of pairs
  (Bonferroni). What was shown worse is tested no more.
- Is one *settled*: would the folds that are missing hardly let the tables show a difference between
  it and any other that is left? The mean difference over all folds is predicted from those at hand
  (predictive power, Spiegelhalter et al., 1986), shrunk as far as the candidates together differ
  no more than their folds vary. Stopping so claims nothing, and its pairs stay in the number that
  levels are divided by.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy import stats

from volbench.errors import DataError
from volbench.evaluation.statistics import Areas, delong
from volbench.evaluation.statistics.cross_validated import (
    FACTOR,
    PairedFolds,
    PairMatrix,
    paired_folds,
)
from volbench.evaluation.statistics.multiple_comparisons import ALPHA
from volbench.evaluation.statistics.sequential import boundaries
from volbench.evaluation.statistics.spread import ROUNDING

FIRST = 3
"""Folds before the first look: two say nothing of trainings that fail now and then."""
CHANCE = 0.04
"""A candidate is settled if no pair of it will be shown to differ with a larger chance."""
CAUTION = 0.1
"""Quantile of F that bounds from above how much candidates differ (`reliability`)."""

StopKind: TypeAlias = Literal["worse", "settled"]


@dataclass(frozen=True)
class Stop:
    """Why a candidate of a race was not trained any further.

    Attributes:
        folds: How many were finished when it was stopped.
        folds_total: How many there would have been.
        against: The candidate that it was shown to be worse than; of one that is settled, the one
            that it would most likely have been told from.
        difference: Mean over these folds of its AUC less the other one's.
        z: The same over its standard error.
        boundary: Of ``-z``, at this look; of one that is settled, of ``|z|`` over all folds.
        alpha: Level of the whole race.
        candidates: How many the level was divided over.
        kind: ``worse``, or ``settled``: no fold is likely to change what the tables say of it.
        chance: Of one that is settled, that all folds would show the difference after all.
    """

    folds: int
    folds_total: int
    against: str
    difference: float
    z: float
    boundary: float
    alpha: float
    candidates: int
    kind: StopKind = "worse"
    chance: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"schema": 1, **asdict(self)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Stop":
        """What `to_json` wrote."""
        return cls(**{key: value for key, value in values.items() if key != "schema"})

    @property
    def text(self) -> str:
        """In a sentence."""
        after = f"after {self.folds} of {self.folds_total} folds"
        if self.kind == "settled":
            return (
                f"stopped {after}: settled, because the others would hardly show a difference (the "
                f"likeliest is to {self.against}: {self.difference:+z.3f} AUC so far, chance "
                f"{self.chance:.2f})"
            )
        return (
            f"stopped {after}: shown worse than "
            f"{self.against} (difference {self.difference:+z.3f} AUC, z {self.z:.2f}, boundary "
            f"{-self.boundary:.2f} for {self.candidates} candidates, level {self.alpha:g} over all "
            "looks)"
        )


@cache
def bounds(folds: int, candidates: int, alpha: float = ALPHA) -> tuple[float, ...]:
    """Boundaries of z after each number of folds, from one on; infinite before the first look."""
    if folds < FIRST:
        return (math.inf,) * folds
    looks = [number / folds for number in range(FIRST, folds + 1)]
    level = alpha / max(1, math.comb(candidates, 2))
    return (*(math.inf,) * (FIRST - 1), *map(float, boundaries(looks, alpha=level)))


def look(
    names: Sequence[str],
    labels: Int[np.ndarray, " item"],
    probabilities: Float[np.ndarray, "candidate item"] | Float[np.ndarray, "candidate item class"],
    *,
    patients: Shaped[np.ndarray, " item"],
    folds: Int[np.ndarray, " item"],
    folds_total: int,
    settled: int = 0,
    alpha: float = ALPHA,
) -> Mapping[str, Stop]:
    """Look at the folds that all of these candidates have finished.

    Args:
        names: The candidates that are left.
        labels: Index of the class of each held-out item.
        probabilities: What each candidate says of them.
        patients: The patient of each item.
        folds: The fold of each item; all candidates have the same.
        folds_total: How many there will be.
        settled: Candidates that were stopped as settled before: their pairs count on.
        alpha: Level of the whole race.

    Returns:
        Of each candidate that is shown to be worse than the leading one, or is settled, why.
    """
    finished = len(np.unique(folds))
    if finished < FIRST:
        return {}
    try:  # there may be no fold yet with two patients of each class, or one fold only that has any
        areas = delong(labels, probabilities, clusters=patients, folds=folds, undefined="omit")
    except DataError:
        return {}
    return judge(names, areas, finished, folds_total=folds_total, settled=settled, alpha=alpha)


def judge(
    names: Sequence[str],
    areas: Areas,
    finished: int,
    *,
    folds_total: int,
    settled: int = 0,
    alpha: float = ALPHA,
) -> dict[str, Stop]:
    """What `look` says, of areas within the folds that are finished."""
    defined = int(np.isfinite(areas.by_fold).all(axis=0).sum())
    if len(names) < 2 or defined < 2:
        return {}
    pairs = paired_folds(areas)
    difference, error = pairs.difference, pooled_error(pairs)
    z = standardized(difference, error)
    tested = len(names) + settled
    boundary = bounds(folds_total, tested, alpha)[finished - 1]
    leader = int(np.argmax(areas.areas))
    found = {}
    for place, name in enumerate(names):
        if place != leader and z[leader, place] >= boundary:
            pair = (names[leader], float(difference[place, leader]), float(z[place, leader]))
            found[name] = Stop(finished, folds_total, *pair, boundary, alpha, tested)
    left = [place for place, name in enumerate(names) if name not in found]
    if len(left) < 2:
        return found
    inside = np.ix_(left, left)
    chances, critical = chances_of_a_claim(
        difference[inside],
        error[inside],
        finished / folds_total,
        pairs=math.comb(len(left) + settled, 2),
        alpha=alpha,
        kept=reliability(difference[inside], pairs.error[inside], defined),
    )
    for row, place in enumerate(left):
        likeliest = int(np.argmax(chances[row]))
        if (chance := float(chances[row, likeliest])) < CHANCE:
            other = left[likeliest]
            pair = (names[other], float(difference[place, other]), float(z[place, other]))
            found[names[place]] = Stop(
                *(finished, folds_total, *pair, float(critical[row, likeliest]), alpha, tested),
                kind="settled",
                chance=chance,
            )
    return found


def pooled_error(pairs: PairedFolds) -> PairMatrix:
    """Standard error of each pair, at least the spread of the folds over all pairs together."""
    candidates = len(pairs.difference)
    mean = (pairs.of_folds**2).sum() / (candidates * (candidates - 1))
    return np.asarray(np.maximum(pairs.error, math.sqrt(mean)))


def standardized(
    difference: Float[np.ndarray, "*pair"], error: Float[np.ndarray, "*pair"]
) -> Float[np.ndarray, "*pair"]:
    """The z of each pair as in the tables; 0 where nothing varies."""
    enlarged = math.sqrt(FACTOR) * error
    return np.asarray(
        np.divide(difference, enlarged, out=np.zeros_like(enlarged), where=enlarged > ROUNDING)
    )


def reliability(difference: PairMatrix, error: PairMatrix, folds: int) -> float:
    """Share of the differences so far that further folds will repeat, at most: 0 to 1.

    As in an analysis of variance, mean squares between candidates over those of their folds follow
    F if candidates are equal. What divides them is a low quantile of F and not its mean, so that a
    few folds that happen to agree do not make candidates look equal.

    Args:
        difference: Of each pair so far.
        error: Standard error of that, not enlarged.
        folds: That both are over.
    """
    candidates = len(difference)
    between, within = (difference**2).sum(), (error**2).sum()
    expected = stats.f.ppf(CAUTION, candidates - 1, (candidates - 1) * (folds - 1))
    return float(max(0.0, 1 - expected * within / between)) if between > 0 else 0.0


def chances_of_a_claim(
    difference: PairMatrix,
    error: PairMatrix,
    share: float,
    *,
    pairs: int,
    alpha: float,
    kept: float = 1.0,
) -> tuple[PairMatrix, PairMatrix]:
    """Predict with which chance the tables will show each pair to differ, once all folds are there.

    True differences are normal around 0 a priori, and the folds to come vary as those at hand.

    Args:
        difference: Of each pair so far.
        error: Standard error of that, not enlarged.
        share: Of the folds, that are finished.
        pairs: That Holm's method adjusts for.
        alpha: Level of the tables.
        kept: Share of a difference that its posterior mean keeps (`reliability`); with 1, any true
            difference is as likely as any other.

    Returns:
        The chances, 0 on the diagonal, and what ``|z|`` has to exceed at the end: that of Holm's
        step that each pair has by the order of ``|z|`` so far.
    """
    first, second = np.triu_indices(len(difference), k=1)
    gap, of_pair = np.abs(difference[first, second]), error[first, second]
    by_size = np.argsort(-standardized(gap, of_pair))
    order = np.argsort(by_size)
    critical = stats.norm.isf(alpha / 2 / (pairs - order))
    needed = critical * math.sqrt(FACTOR * share) * of_pair
    spread = np.maximum(of_pair * math.sqrt((1 - share) * (share + (1 - share) * kept)), ROUNDING)
    mean = (share + (1 - share) * kept) * gap
    chance = stats.norm.sf((needed - mean) / spread) + stats.norm.cdf((-needed - mean) / spread)
    # A later step of Holm's method is reached only if all steps before it reject.
    chance[by_size] = np.minimum.accumulate(chance[by_size])
    chances, criticals = np.zeros_like(difference), np.zeros_like(difference)
    for matrix, values in ((chances, chance), (criticals, critical)):
        matrix[first, second] = matrix[second, first] = values
    return chances, criticals
