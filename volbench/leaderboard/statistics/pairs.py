"""Rows compared in pairs by AUC: which test, its family, its letters, and what it could have seen.

Folds decide where there are several, because that is the question of who chooses a way of training;
of one held-out set, the cases do. Why: docs/explanation/statistics.md.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float
from scipy import stats

from volbench.evaluation.items import Items
from volbench.evaluation.statistics import (
    Areas,
    PairTest,
    ResampledTest,
    Rope,
    area_test,
    corrected_t_test,
    cross_validated_test,
    detectable_effect,
    holm,
    letters,
    rope,
    verdict,
)
from volbench.leaderboard.statistics.comparison import Decides, Pair, PowerAnalysis, Test
from volbench.leaderboard.statistics.intervals import Draws, interval, two_sided
from volbench.leaderboard.statistics.run_scores import Scored, held_out_ratio
from volbench.leaderboard.statistics.shared_areas import SharedAreas

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


@dataclass(frozen=True)
class Decision:
    """What decides a pair, first minus second.

    Attributes:
        test: Its name.
        low: Lower end of the interval of the difference.
        high: Upper end.
        p: Two-sided, not adjusted.
        standard_error: Of the difference; NaN for the bootstrap.
        std: Standard deviation of the fold differences; NaN where cases decide.
        rope: None where cases decide.
    """

    test: Decides
    low: float
    high: float
    p: float
    standard_error: float = math.nan
    std: float = math.nan
    rope: Rope | None = None


def compare_pairs(
    contenders: Sequence[Contender],
    *,
    alpha: float,
    margin: float,
    test: PairTest = "combined",
    settled: int = 0,
) -> tuple[Pair, ...]:
    """Compare every pair and adjust their p values together (Holm); the higher row comes first.

    Rows that a race stopped as ``settled`` are not tested, but their pairs are counted: they were
    left out because they looked alike, and leaving them out must not make others easier to tell.
    """
    both = list(combinations(contenders, 2))
    shared = SharedAreas(_items_of_single_runs(contenders))
    areas = [shared.pair(first.place, second.place) for first, second in both]
    decisions = [
        decide(*pair, of_cases, alpha=alpha, margin=margin, test=test)
        for pair, of_cases in zip(both, areas, strict=True)
    ]
    unseen = math.comb(len(contenders) + settled, 2) - len(both) if both else 0
    adjusted = holm(np.array([*(decision.p for decision in decisions), *[1.0] * unseen]))
    adjusted = adjusted[: len(both)]
    pairs = []
    for (first, second), of_cases, decision, p_holm in zip(
        both, areas, decisions, map(float, adjusted), strict=True
    ):
        difference = float(np.nanmean(first.areas - second.areas))
        pairs.append(
            Pair(
                first=first.place,
                second=second.place,
                difference=difference,
                p_holm=p_holm,
                p_delong=math.nan if of_cases is None else area_test(of_cases).p,
                p_bootstrap=two_sided(first.draws - second.draws),
                verdict=verdict(difference, p_holm, alpha=alpha),
                **vars(decision),
            )
        )
    return tuple(pairs)


def decide(
    first: Contender,
    second: Contender,
    areas: Areas | None,
    *,
    alpha: float,
    margin: float,
    test: PairTest,
) -> Decision:
    """Test a pair: over folds where there are several, else over cases, else by bootstrap."""
    differences = first.areas - second.areas
    if fold_test_applies(differences):
        repeated = first.runs[0].run.repeated
        over_folds = corrected_t_test(
            differences,
            test_to_train=held_out_ratio(first.runs[0].run),
            undefined="omit",
            alpha=alpha,
        )
        by_cases = None if repeated or test == "corrected_t" else areas
        return _over_folds(over_folds, by_cases, alpha=alpha, margin=margin)
    if areas is not None:
        found = area_test(areas, alpha=alpha)
        return Decision("delong", found.low, found.high, found.p, found.standard_error)
    draws = first.draws - second.draws
    low, high = interval(draws, alpha=alpha)
    return Decision("bootstrap", low, high, two_sided(draws))


def _over_folds(
    resampled: ResampledTest, areas: Areas | None, *, alpha: float, margin: float
) -> Decision:
    """Decide by folds: with the cases behind them, where each row is one division into folds."""
    equivalence = rope(resampled, margin=margin)
    if areas is None:
        return Decision(
            test="corrected_t",
            low=max(-1.0, resampled.low),
            high=min(1.0, resampled.high),
            p=resampled.p,
            standard_error=resampled.standard_error,
            std=resampled.std,
            rope=equivalence,
        )
    combined = cross_validated_test(areas, alpha=alpha)
    return Decision(
        test="combined",
        low=combined.low,
        high=combined.high,
        p=combined.p,
        standard_error=combined.standard_error,
        std=resampled.std,
        rope=equivalence,
    )


def deciding_test(contenders: Sequence[Contender], pairs: Sequence[Pair]) -> Test | None:
    """What decided the pairs of a table: folds or cases; None where there are none."""
    if not pairs:
        return None
    return "folds" if fold_test_applies(contenders[0].areas) else "cases"


def letters_of(pairs: Sequence[Pair], order: Sequence[int], *, alpha: float) -> dict[int, str]:
    """Letters by position; the first of ``order`` has the letter a; none without pairs."""
    if not pairs:
        return {}
    p = {frozenset((pair.first, pair.second)): pair.p_holm for pair in pairs}
    adjusted = np.array([[p.get(frozenset((one, two)), 1.0) for two in order] for one in order])
    return dict(zip(order, letters(adjusted, alpha=alpha), strict=True))


def fold_test_applies(areas: FoldAreas) -> bool:
    """Whether at least two folds have an AUC, so that differences have a spread."""
    return int(np.isfinite(areas).sum()) >= 2


def power_of(areas: FoldAreas, pairs: Sequence[Pair], *, alpha: float) -> PowerAnalysis | None:
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


def _items_of_single_runs(contenders: Sequence[Contender]) -> dict[int, Items]:
    """Items by position; a row of several runs has an area in each of them, so none of its own."""
    alone = {each.place: each.runs[0].items for each in contenders if len(each.runs) == 1}
    return {place: items for place, items in alone.items() if items is not None}
