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
    Areas,
    PairTest,
    area_test,
    corrected_t_test,
    cross_validated_test,
    delong,
    detectable_effect,
    holm,
    letters,
    rope,
    verdict,
)
from volbench.leaderboard.statistics.comparison import Pair, PowerAnalysis
from volbench.leaderboard.statistics.intervals import Draws, interval, two_sided
from volbench.leaderboard.statistics.run_scores import Scored

FoldAreas = Float[np.ndarray, "repeat fold"]


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
    areas: FoldAreas
    draws: Draws


def compare_pairs(
    contenders: Sequence[Contender], *, alpha: float, margin: float, test: PairTest = "combined"
) -> tuple[Pair, ...]:
    """Compare every pair and adjust their p values together (Holm); the higher row comes first."""
    found = [
        _pair(first, second, alpha=alpha, margin=margin, test=test)
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


def fold_test_applies(areas: FoldAreas) -> bool:
    """Whether at least two folds have an AUC, so that differences have a spread."""
    return int(np.isfinite(areas).sum()) >= 2


def design_of(areas: FoldAreas, pairs: Sequence[Pair], *, alpha: float) -> PowerAnalysis | None:
    """What differences these folds can show, at the median standard error of the pairs."""
    known = [pair for pair in pairs if pair.standard_error > 0]
    if not known:
        return None
    error = float(np.median([pair.standard_error for pair in known]))
    folds = int(np.isfinite(areas).sum())
    by_t = any(pair.test == "corrected_t" for pair in known)
    critical = stats.t(folds - 1) if by_t else stats.norm
    return PowerAnalysis(
        folds=folds,
        std=float(np.median([pair.std for pair in known])),
        standard_error=error,
        smallest_significant=float(critical.ppf(1 - alpha / 2)) * error,
        detectable=_effect(folds, alpha, by_t=by_t) * error,
        detectable_holm=_effect(folds, alpha / len(pairs), by_t=by_t) * error,
    )


def _effect(folds: int, alpha: float, *, by_t: bool, power: float = 0.8) -> float:
    """True difference, in standard errors, that is found with a chance of 80 %."""
    if by_t:
        return detectable_effect(folds - 1, alpha=alpha, power=power)
    return float(stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power))


def _pair(
    first: Contender, second: Contender, *, alpha: float, margin: float, test: PairTest
) -> Pair:
    differences = first.areas - second.areas
    areas = _areas(first.runs, second.runs)
    draws = first.draws - second.draws
    pair = Pair(
        first=first.place,
        second=second.place,
        difference=float(np.nanmean(differences)),
        low=math.nan,
        high=math.nan,
        std=math.nan,
        standard_error=math.nan,
        p=math.nan,
        p_holm=math.nan,
        p_delong=math.nan if areas is None else area_test(areas).p,
        p_bootstrap=two_sided(draws),
        rope=None,
        test="bootstrap",
        verdict="no difference shown",
    )
    if fold_test_applies(differences):
        return _over_folds(pair, differences, areas, alpha=alpha, margin=margin, test=test)
    if areas is not None:
        found = area_test(areas, alpha=alpha)
        return replace(
            pair,
            low=found.low,
            high=found.high,
            standard_error=found.standard_error,
            p=found.p,
            test="delong",
        )
    low, high = interval(draws, alpha=alpha)
    return replace(pair, low=low, high=high, p=pair.p_bootstrap)


def _over_folds(
    pair: Pair,
    differences: FoldAreas,
    areas: Areas | None,
    *,
    alpha: float,
    margin: float,
    test: PairTest,
) -> Pair:
    """Decide by folds: with the cases behind them, where each row is one run."""
    resampled = corrected_t_test(differences, undefined="omit", alpha=alpha)
    pair = replace(pair, std=resampled.std, rope=rope(resampled, margin=margin))
    if areas is None or test == "corrected_t":
        return replace(
            pair,
            low=max(-1.0, resampled.low),
            high=min(1.0, resampled.high),
            standard_error=resampled.standard_error,
            p=resampled.p,
            test="corrected_t",
        )
    combined = cross_validated_test(areas, alpha=alpha)
    return replace(
        pair,
        low=combined.low,
        high=combined.high,
        standard_error=combined.standard_error,
        p=combined.p,
        test="combined",
    )


def _areas(first: Sequence[Scored], second: Sequence[Scored]) -> Areas | None:
    """Areas of both within folds, with their covariance; None for several runs a row."""
    one, two = first[0].items, second[0].items
    assert one is not None
    assert two is not None
    if len(first) > 1 or len(second) > 1:
        return None
    try:
        return delong(
            one.labels,
            np.stack([one.probabilities, two.probabilities]),
            clusters=np.array(one.patients),
            folds=one.folds,
            undefined="omit",
        )
    except DataError:  # one patient of a class in every fold: no spread to be told
        return None
