"""Racing: which candidates are shown worse after some folds, and need no more of them.

After each round, the candidate with the largest mean AUC is compared with every other one by the
test that decides in the tables (cross-validated z-test). The level of all rounds together is that
of one test, by Pocock's spending function, over the number of pairs that are left (Bonferroni).
What was stopped counts no longer: it is tested no more.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from volbench.errors import DataError
from volbench.evaluation.statistics import cross_validated_test, delong
from volbench.evaluation.statistics.multiple_comparisons import ALPHA
from volbench.evaluation.statistics.sequential import boundaries

FIRST = 3
"""Folds before the first look: two say nothing of trainings that fail now and then."""


@dataclass(frozen=True)
class Stop:
    """Why a candidate of a race was not trained any further.

    Attributes:
        folds: How many were finished when it was stopped.
        folds_total: How many the others have.
        against: The candidate that it was shown to be worse than.
        difference: Mean over these folds of its AUC less the other one's.
        z: The same over its standard error.
        boundary: Of ``-z``, at this look.
        alpha: Level of the whole race.
        candidates: How many were left.
    """

    folds: int
    folds_total: int
    against: str
    difference: float
    z: float
    boundary: float
    alpha: float
    candidates: int

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
        return (
            f"stopped after {self.folds} of {self.folds_total} folds: shown worse than "
            f"{self.against} (difference {self.difference:+.3f} AUC, z {self.z:.2f}, boundary "
            f"{-self.boundary:.2f} for {self.candidates} candidates, level {self.alpha:g} over all "
            "looks)"
        )


@cache
def bounds(folds: int, candidates: int, alpha: float = ALPHA) -> tuple[float, ...]:
    """Boundaries of z after each number of folds, from one on; infinite before the first look."""
    pairs = max(1, candidates * (candidates - 1) // 2)
    if folds < FIRST:
        return (math.inf,) * folds
    looks = [number / folds for number in range(FIRST, folds + 1)]
    return (*(math.inf,) * (FIRST - 1), *map(float, boundaries(looks, alpha=alpha / pairs)))


def shown_worse(
    names: Sequence[str],
    labels: Int[np.ndarray, " item"],
    probabilities: Float[np.ndarray, "candidate item"] | Float[np.ndarray, "candidate item class"],
    *,
    patients: Shaped[np.ndarray, " item"],
    folds: Int[np.ndarray, " item"],
    folds_total: int,
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
        alpha: Level of the whole race.

    Returns:
        Of each candidate that is shown to be worse than the leading one, why.
    """
    finished = len(np.unique(folds))
    boundary = bounds(folds_total, len(names), alpha)[finished - 1]
    if len(names) < 2 or not math.isfinite(boundary):
        return {}
    try:  # there may be no fold yet with two patients of each class, or one fold only that has any
        areas = delong(labels, probabilities, clusters=patients, folds=folds, undefined="omit")
        leader = int(np.argmax(areas.areas))
        tests = {
            name: cross_validated_test(areas.pair(place, leader))
            for place, name in enumerate(names)
            if place != leader
        }
    except DataError:
        return {}
    found = {}
    for name, test in tests.items():
        if -test.z >= boundary:
            found[name] = Stop(
                folds=finished,
                folds_total=folds_total,
                against=names[leader],
                difference=test.difference,
                z=test.z,
                boundary=boundary,
                alpha=alpha,
                candidates=len(names),
            )
    return found
