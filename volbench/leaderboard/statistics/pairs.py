"""Rows compared in pairs by AUC: which test, its family, its letters, and what it could have seen.

Folds decide where there are several, because that is the question of who chooses a way of training;
of one held-out set, the cases do. Why: docs/explanation/statistics.md.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from jaxtyping import Float
from scipy import stats

from volbench.errors import DataError
from volbench.evaluation.statistics import (
    corrected_t_test,
    delong_test,
    detectable_effect,
    holm,
    letters,
    rope,
    verdict,
)
from volbench.evaluation.statistics.delong import AreaTest
from volbench.leaderboard.statistics.comparison import Pair, PowerAnalysis
from volbench.leaderboard.statistics.intervals import Draws, interval, two_sided
from volbench.leaderboard.statistics.run_scores import Scored

Areas = Float[np.ndarray, "repeat fold"]


@dataclass(frozen=True, eq=False)
class Contender:
    """A complete row, ready to be paired.

    Attributes:
        place: Its position in the table.
        runs: Its runs.
        areas: AUC of each repeat and fold; NaN where a class is missing.
        draws: AUC in each resample of the patients.
    """

    place: int
    runs: Sequence[Scored]
    areas: Areas
    draws: Draws


def compare_pairs(
    contenders: Sequence[Contender], *, alpha: float, margin: float
) -> tuple[Pair, ...]:
    """Compare every pair and adjust their p values together (Holm); the higher row comes first."""
    found = [
        _pair(first, second, alpha=alpha, margin=margin)
        for first, second in combinations(contenders, 2)
    ]
    adjusted = holm(np.array([pair.p for pair in found]))
    return tuple(
        replace(pair, p_holm=float(p), verdict=verdict(pair.difference, float(p), alpha=alpha))
        for pair, p in zip(found, adjusted, strict=True)
    )


def letters_of(pairs: Sequence[Pair], order: Sequence[int], *, alpha: float) -> dict[int, str]:
    """Letters by position; the first of ``order`` has the letter a."""
    p = {frozenset((pair.first, pair.second)): pair.p_holm for pair in pairs}
    adjusted = np.array([[p.get(frozenset((one, two)), 1.0) for two in order] for one in order])
    return dict(zip(order, letters(adjusted, alpha=alpha), strict=True))


def fold_test_applies(areas: Areas) -> bool:
    """Whether at least two folds have an AUC, so that differences have a spread."""
    return int(np.isfinite(areas).sum()) >= 2


def design_of(areas: Areas, pairs: Sequence[Pair], *, alpha: float) -> PowerAnalysis | None:
    """What differences these folds can show, at the median spread of the pairs."""
    spreads = [pair.std for pair in pairs if pair.std > 0]
    if not spreads:
        return None
    std = float(np.median(spreads))
    folds = int(np.isfinite(areas).sum())
    error = math.sqrt(1 / folds + 1 / (areas.shape[1] - 1)) * std
    return PowerAnalysis(
        folds=folds,
        std=std,
        smallest_significant=float(stats.t.ppf(1 - alpha / 2, folds - 1)) * error,
        detectable=detectable_effect(folds - 1, alpha=alpha) * error,
        detectable_holm=detectable_effect(folds - 1, alpha=alpha / len(pairs)) * error,
    )


def _pair(first: Contender, second: Contender, *, alpha: float, margin: float) -> Pair:
    differences = first.areas - second.areas
    of_cases = _delong(first.runs, second.runs, alpha=alpha)
    draws = first.draws - second.draws
    pair = Pair(
        first=first.place,
        second=second.place,
        difference=float(np.nanmean(differences)),
        low=math.nan,
        high=math.nan,
        std=math.nan,
        p=math.nan,
        p_holm=math.nan,
        p_delong=math.nan if of_cases is None else of_cases.p,
        p_bootstrap=two_sided(draws),
        rope=None,
        verdict="no difference shown",
    )
    if fold_test_applies(differences):
        test = corrected_t_test(differences, undefined="omit", alpha=alpha)
        return replace(
            pair,
            low=test.low,
            high=test.high,
            std=test.std,
            p=test.p,
            rope=rope(test, margin=margin),
        )
    if of_cases is not None:
        return replace(pair, low=of_cases.low, high=of_cases.high, p=of_cases.p)
    low, high = interval(draws, alpha=alpha)
    return replace(pair, low=low, high=high, p=pair.p_bootstrap)


def _delong(first: Sequence[Scored], second: Sequence[Scored], *, alpha: float) -> AreaTest | None:
    """DeLong's test within folds; None for several runs a row, or more than two classes."""
    one, two = first[0].items, second[0].items
    assert one is not None
    assert two is not None
    if len(first) > 1 or len(second) > 1 or len(one.classes) != 2:
        return None
    try:
        return delong_test(
            one.labels,
            one.probabilities[:, 1],
            two.probabilities[:, 1],
            clusters=np.array(one.patients),
            folds=one.folds,
            undefined="omit",
            alpha=alpha,
        )
    except DataError:  # one patient of a class in every fold: no spread to be told
        return None
