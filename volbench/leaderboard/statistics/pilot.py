"""What runs that are done tell a plan: how alike candidates are, how good, how long they take."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, median

import numpy as np

from volbench.errors import DataError
from volbench.evaluation.statistics import Areas
from volbench.leaderboard.statistics.compare import score_row, tables_of
from volbench.leaderboard.statistics.comparison import ScoredRow
from volbench.leaderboard.statistics.run_scores import score_run
from volbench.leaderboard.statistics.shared_areas import SharedAreas
from volbench.runs.load import LoadedRun

MOST = 0.99
"""No two candidates are planned to agree more: the difference that is shown would be none."""


@dataclass(frozen=True)
class Pilot:
    """What runs on the same folds say of candidates like them.

    Attributes:
        runs: Names of the complete ones.
        pairs: How many pairs of them the correlation is the median of.
        correlation: Of the AUC of two candidates over samples of patients, by DeLong within folds.
        lowest: Of a pair.
        highest: Of a pair.
        auc: The largest mean AUC.
        minutes: Of a fold, the mean of the runs; None where none was measured.
    """

    runs: tuple[str, ...]
    pairs: int
    correlation: float
    lowest: float
    highest: float
    auc: float
    minutes: float | None


def read_pilot(runs: Iterable[LoadedRun]) -> Pilot:
    """Estimate from complete runs what a plan has to assume; those on the same folds are paired.

    Raises:
        DataError: no two complete runs share data and folds, or their areas have no spread.

    >>> import volbench
    >>> pilot = read_pilot(volbench.load_runs("runs").loaded)
    >>> 0 <= pilot.correlation <= MOST
    True
    """
    tables = [_complete(table) for table in tables_of(runs)]
    found = [each for table in tables for each in _correlations(table)]
    rows = [row for table in tables for row in table]
    if not found:
        raise DataError(
            f"no two complete runs on the same data and folds among {len(rows)} complete ones; "
            "finish two, or give --correlation"
        )
    seconds = [row.cost.seconds for row in rows if row.cost.seconds is not None]
    return Pilot(
        runs=tuple(row.name for row in rows),
        pairs=len(found),
        correlation=min(MOST, max(0.0, median(found))),
        lowest=min(found),
        highest=max(found),
        auc=max(row.score("auc").mean for row in rows),
        minutes=fmean(seconds) / 60 if seconds else None,
    )


def patients_of_runs(runs: Sequence[LoadedRun]) -> dict[str, set[str]]:
    """Patients of each class of the data set that the runs share, in the order of the classes.

    Raises:
        DataError: they are of several data sets, or too old to know their patients.

    >>> import volbench
    >>> patients = patients_of_runs(volbench.load_runs("runs").loaded)
    >>> {name: len(each) for name, each in patients.items()}
    {'T2': 30, 'T3': 30}
    """
    known = [run for run in runs if run.case_rows and run.classes]
    if not known or len({run.experiment["data_digest"] for run in known}) > 1:
        what = "are of several data sets" if known else "do not say who their patients are"
        raise DataError(f"the runs {what}; name the data set to plan for before --from")
    rows = known[0].case_rows
    return {name: {row.patient for row in rows if row.label == name} for name in known[0].classes}


def _complete(runs: Sequence[LoadedRun]) -> list[ScoredRow]:
    classes = next((run.classes for run in runs if run.classes), ())
    rows = [
        score_row([score_run(run, unit="case", threshold=0.5)], classes, ddof=1) for run in runs
    ]
    return [row for row in rows if row.status == "complete"]


def _correlations(rows: Sequence[ScoredRow]) -> list[float]:
    """Of every pair whose areas both have a spread."""
    items = {place: row.scored[0].items for place, row in enumerate(rows)}
    shared = SharedAreas({place: each for place, each in items.items() if each is not None})
    found = (shared.pair(*pair) for pair in combinations(range(len(rows)), 2))
    known = (_correlation(areas) for areas in found if areas is not None)
    return [each for each in known if each is not None]


def _correlation(areas: Areas) -> float | None:
    (one, both), (_, other) = areas.covariance
    product = float(one * other)
    return float(both) / float(np.sqrt(product)) if product > 0 else None
