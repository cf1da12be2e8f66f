"""AUC by site, scanner, slice thickness: one table per column of what is known of the cases."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain

import pandas as pd

from volbench.errors import UsageError
from volbench.leaderboard.comparison import Candidate, Comparison
from volbench.leaderboard.layout import identities
from volbench.leaderboard.published import Section
from volbench.leaderboard.runs import LoadedRun
from volbench.metrics import metrics_for
from volbench.scores import gather, strata_of, stratum_scores

PER_TABLE = 5
"""Groups side by side; further ones stand in a table beneath."""


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


def stratum_sections(
    found: Comparison, tables: Sequence[ByStratum], *, metric: str = "auc"
) -> list[Section]:
    """Lay out the groups as columns, with how many items of each class they have."""
    sections = []
    for table in tables:
        complete = [row for row in found.rows if row.status == "complete"]
        groups = list(dict.fromkeys(table.frame["group"]))
        for start in range(0, len(groups), PER_TABLE):
            cells, _ = identities(complete)
            cells = cells or {"encoder": [row.encoder for row in complete]}
            for group in groups[start : start + PER_TABLE]:
                mine = table.frame[table.frame["group"] == group].set_index("run")
                first = mine.iloc[0]
                sizes = "\n".join(f"{first[f'n_{name}']:.0f} {name}" for name in found.classes)
                value = mine[metric].reindex([row.name for row in complete])
                cells[f"{group}\n{sizes}"] = [
                    "few" if pd.isna(number) else f"{number:.3f}" for number in value
                ]
            more = " (continued)" if start else ""
            sections.append(Section(f"AUC by {table.column}{more}", cells, _notes(found)))
    return sections


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
    near = get_close_matches(column, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(known)}"
    return f"--by {column!r} is not a column of the cases of {run.name}; {hint}"


def _notes(found: Comparison) -> list[str]:
    return [
        f"Pooled over folds, one score per {found.unit}: a fold holds too few of a group. few: "
        "fewer than five of a class. No difference between groups is tested."
    ]
