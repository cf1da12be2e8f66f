"""How much of a score is luck of the seed, beside that of the patients who were held out."""

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from volbench.leaderboard.statistics.comparison import ScoredRow

REACH = 1.96


@dataclass(frozen=True)
class SeedVariance:
    """Spread of the mean AUC of a row.

    Attributes:
        seeds: Runs on the same folds.
        of_seeds: Standard deviation (ddof 1) over these runs.
        of_patients: Standard deviation over the drawing of patients, from the interval.
    """

    seeds: int
    of_seeds: float
    of_patients: float


def seed_variance(row: ScoredRow) -> SeedVariance | None:
    """Compare the two; None for a row without several seeds on the same folds."""
    areas: dict[str, list[float]] = defaultdict(list)
    for scored in row.scored:
        known = scored.by_fold["auc"].dropna() if scored.complete else ()
        if len(known):
            areas[scored.run.experiment["split_digest"]].append(float(np.mean(known)))
    several = [each for each in areas.values() if len(each) > 1]
    if not several:
        return None
    auc = row.score("auc")
    return SeedVariance(
        seeds=max(map(len, several)),
        of_seeds=math.sqrt(float(np.mean([np.var(each, ddof=1) for each in several]))),
        of_patients=(auc.high - auc.low) / (2 * REACH),
    )


def seed_notes(rows: tuple[ScoredRow, ...]) -> list[str]:
    """A note for each row of several seeds."""
    found = [(row, seed_variance(row)) for row in rows]
    return [
        f"Seeds: the mean AUC of {row.encoder}, {row.aggregator}, {row.loss} varies by "
        f"{known.of_seeds:.3f} over {known.seeds} seeds on the same folds, and by "
        f"{known.of_patients:.3f} over patients (standard deviations)."
        for row, known in found
        if known is not None
    ]
