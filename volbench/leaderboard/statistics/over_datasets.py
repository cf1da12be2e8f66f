"""Candidates compared over several data sets, from the comparison of each of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from volbench.errors import DataError, UsageError
from volbench.evaluation.statistics import Verdict, holm, letters, verdict
from volbench.evaluation.statistics.meta_analysis import (
    OverDataSets,
    over_data_sets,
    practically_best,
)
from volbench.leaderboard.statistics.candidates import Name, candidates_of
from volbench.leaderboard.statistics.comparison import Candidate, Comparison, Pair


@dataclass(frozen=True, eq=False)
class OverPair:
    """Two candidates over the data sets on which both were compared; the better one first.

    Attributes:
        first: The first one's name.
        second: The second one's.
        each: Difference on each data set, in the order of ``OverDataSetsTable.data``; NaN where
            one of them is missing.
        overall: Their mean over data sets.
        p_holm: Adjusted for all pairs.
        verdict: What is shown about the first.
    """

    first: Name
    second: Name
    each: tuple[float, ...]
    overall: OverDataSets
    p_holm: float
    verdict: Verdict


@dataclass(frozen=True, eq=False)
class OverDataSetsTable:
    """Several data sets, one answer.

    Attributes:
        data: Short names of the data sets.
        candidates: On at least two of them, the largest mean AUC first.
        areas: AUC of each candidate on each data set; NaN where it is missing.
        groups: Letters; candidates that share one cannot be told apart.
        pairs: Every two candidates that were compared on at least two data sets.
        best: Probability of being practically best, on average over data sets like these; empty
            where some two candidates were not compared on two data sets.
        margin: Differences of AUC up to this one are practically none.
    """

    data: tuple[str, ...]
    candidates: tuple[Name, ...]
    areas: dict[Name, tuple[float, ...]]
    groups: dict[Name, str]
    pairs: tuple[OverPair, ...]
    best: dict[Name, float]
    margin: float


def compare_over_data_sets(
    found: Sequence[Comparison], *, alpha: float = 0.05, margin: float = 0.01
) -> OverDataSetsTable:
    """Match candidates by name and combine their paired differences.

    A name is the components, and the settings in which rows with these components differ on the
    same data set.

    Args:
        found: One comparison per data set; of several divisions of the same data, give one.
        alpha: Level of the tests.
        margin: Differences of AUC up to this one are practically none.

    Raises:
        UsageError: fewer than two data sets, the same data twice, two rows of one candidate on a
            data set, or no two candidates that were compared on two data sets.
    """
    digests = [each.first_run.protocol[0] for each in found]
    if len(set(digests)) < 2 or len(set(digests)) < len(digests):
        raise UsageError(
            f"--over-datasets: {len(found)} tables of {len(set(digests))} data sets; give runs on "
            "at least two data sets, and one division into folds of each"
        )
    rows = candidates_of(found)
    tests = [_by_names(table, named) for table, named in zip(found, rows, strict=True)]
    names = {name for each in rows for name in each if sum(name in other for other in rows) > 1}
    areas = {
        name: tuple(each[name].score("auc").mean if name in each else np.nan for each in rows)
        for name in names
    }
    order = sorted(names, key=lambda name: (-float(np.nanmean(areas[name])), name))
    drawn = []
    for first, second in combinations(order, 2):
        pairs = [each.get((first, second)) for each in tests]
        known = [pair for pair in pairs if pair is not None and pair.standard_error > 0]
        if len(known) < 2:
            continue
        overall = over_data_sets(
            np.array([pair.difference for pair in known]),
            np.array([pair.standard_error for pair in known]),
            alpha=alpha,
            margin=margin,
        )
        each = tuple(np.nan if pair is None else pair.difference for pair in pairs)
        drawn.append((first, second, each, overall))
    if not drawn:
        raise UsageError(
            "--over-datasets: no two candidates (encoder, aggregator, loss, settings) are complete "
            "on two data sets with a difference that varies"
        )
    adjusted = holm(np.array([overall.p for *_, overall in drawn]))
    compared = tuple(
        OverPair(*parts, float(p), verdict(parts[3].difference, float(p), alpha=alpha))
        for parts, p in zip(drawn, adjusted, strict=True)
    )
    p_of = {frozenset((pair.first, pair.second)): pair.p_holm for pair in compared}
    square = np.array([[p_of.get(frozenset((a, b)), 1.0) for b in order] for a in order])
    return OverDataSetsTable(
        data=tuple(each.first_run.data for each in found),
        candidates=tuple(order),
        areas=areas,
        groups=dict(zip(order, letters(square, alpha=alpha), strict=True)),
        pairs=compared,
        best=_best(order, compared, margin),
        margin=margin,
    )


def _best(order: Sequence[Name], pairs: Sequence[OverPair], margin: float) -> dict[Name, float]:
    places = {name: place for place, name in enumerate(order)}
    known = {(places[pair.first], places[pair.second]): pair.overall for pair in pairs}
    try:
        found = practically_best(known, range(len(order)), margin=margin)
    except DataError:
        return {}
    return {name: found[place] for name, place in places.items()}


def _by_names(table: Comparison, named: Mapping[Name, Candidate]) -> dict[tuple[Name, Name], Pair]:
    """The pairs of a data set, each seen from both of its rows."""
    names = {id(row): name for name, row in named.items()}
    found = {}
    for pair in table.pairs:
        first, second = (names[id(table.rows[place])] for place in (pair.first, pair.second))
        found[first, second] = pair
        found[second, first] = pair.turned()
    return found
