"""AUC per stratum: site, scanner, slice thickness or any column of the cases."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import pandas as pd

from volbench._utils.text import suggestion
from volbench.errors import UsageError
from volbench.evaluation.items import gather
from volbench.evaluation.metrics import metrics_for
from volbench.evaluation.strata import strata_of, stratum_scores
from volbench.leaderboard.statistics.comparison import Candidate, Comparison
from volbench.runs.load import LoadedRun


@dataclass(frozen=True, eq=False)
class ByStratum:
    """One column of the cases.

    Attributes:
        column: Its name.
        frame: One row per run and group: ``run``, ``group``, ``n``, ``patients``, ``n_<class>`` and
            every metric, pooled over folds; NaN where a class has fewer than five items.
    """

    column: str
    frame: pd.DataFrame


def by_stratum(found: Comparison, column: str) -> ByStratum:
    """Score every complete row in every group of a column; of several runs a row, their mean.

    Raises:
        UsageError: the data have no such column.
    """
    complete = [row for row in found.rows if row.status == "complete"]
    frames = [_scores(row, found, column) for row in complete]
    columns = ["run", "group", "n", "patients"]
    frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)
    return ByStratum(column, frame)


def _scores(row: Candidate, found: Comparison, column: str) -> pd.DataFrame:
    frames = []
    for run in row.runs:
        strata = strata_of(run.case_rows)
        known = list(dict.fromkeys(chain.from_iterable(strata.values())))
        if column not in known:
            raise UsageError(_unknown(run, column, known))
        items = gather(
            chain.from_iterable(run.predictions.values()),
            run.classes,
            unit=found.unit,
            threshold=found.threshold,
            validation=run.validation,
        )
        frames.append(stratum_scores(items, strata, columns=[column]))
    names = [name for name in frames[0] if name in metrics_for(found.classes)]
    mean = frames[0].copy()
    mean[names] = sum(frame[names] for frame in frames) / len(frames)
    return mean.drop(columns="stratum").assign(run=row.name)


def _unknown(run: LoadedRun, column: str, known: Sequence[str]) -> str:
    if not known:
        return (
            f"--by {column!r}: {run.name} knows nothing of its cases (no cases.csv); run it again"
        )
    hint = suggestion(column, known)
    return f"--by {column!r} is not a column of the cases of {run.name}; {hint}"
