"""Tables 2 to 5 of Lee et al. (MICCAI 2022) beside our runs of the same components."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from volbench.evaluation.metrics import metrics_for
from volbench.leaderboard.published.base import Reference, TextTable
from volbench.leaderboard.published.side_by_side import (
    MeanStd,
    PublishedRow,
    agreement,
    cells,
    components,
    incomplete,
    metrics,
    resolvable,
    row_of,
    summary,
)
from volbench.runs.load import LoadedRun

TITLES = {
    "2": "Table 2: encoders (slice level, focal)",
    "3": "Table 3: losses (slice level, rmc5)",
    "4": "Table 4: aggregators (volume level, rmc5, focal+triplet)",
    "5": "Table 5: radiologists (reported, other data)",
}
POOLED, READERS = "4", "5"
MEASURED = [metric for metric in metrics_for(("T2", "T3")).values() if metric.headline]
"""Each is a column of the CSV under its name in small letters, in percent if it is shown so."""


class Rectal2022(Reference):
    """Lee, Oh, Shin, Kim, Sohn, Kim, Kweon: Moving from 2D to 3D, MICCAI 2022."""

    name = "rectal2022"
    note = "Lee et al., MICCAI 2022: 567 patients whose images are not public, ten folds."
    ddof = 0

    def find(self, encoder: str, aggregator: str | None, loss: str) -> dict[str, MeanStd]:
        """What was published for a candidate, by the names of its components; else nothing."""
        wanted = components(encoder, aggregator, loss)
        for row in self.rows:
            if row["table"] != READERS and _components(row) == wanted:
                return scores_of(row)
        return {}

    def sections(self, runs: Sequence[LoadedRun]) -> list[TextTable]:
        """A section for each of Tables 2 to 4 that has a row of ours; Table 5 beneath Table 4."""
        matched = self._matched(runs)
        if not matched:
            title = f"{self.name}: no run has the components of a row of its tables"
            return [TextTable(title, {}, [f"Its rows are of {self.note}"])]
        found = []
        for table, rows in matched.items():
            title = f"{TITLES[table]}, ours beside the paper's (reported, other data)"
            found.append(TextTable(title, cells(rows, ddof=self.ddof), self.notes(rows)))
            if table == POOLED:
                found.append(self.readers())
        return [*found, self.closing()]

    def notes(self, rows: Sequence[PublishedRow]) -> list[str]:
        """What must be said beneath rows that stand beside published ones."""
        unit = "slice" if any(row.aggregator is None for row in rows) else "case"
        order = agreement(rows)
        return [f"One score per {unit}.", *([str(order)] if order else []), *incomplete(rows)]

    def closing(self) -> TextTable:
        """What holds for all of these tables."""
        notes = [
            f"paper: reported, other data: {self.note} Mean ± population standard deviation over "
            f"folds (ddof {self.ddof}, because the paper's is), ours too.",
            "With ten folds and the Nadeau-Bengio correction, p < .05 needs a mean difference "
            f"above about {resolvable(10):.2f} times the standard deviation of the paired fold "
            "differences: most of the paper's gaps, .010 to .019 AUC, cannot be told apart so.",
        ]
        return TextTable("How to read what stands beside the paper", {}, notes)

    def readers(self) -> TextTable:
        """Table 5: radiologists of two studies on patients of their own."""
        rows = [row for row in self.rows if row["table"] == READERS]
        shown = {
            "method": [row["encoder"] for row in rows],
            **{
                metric.column: [row[f"{metric.name.lower()}_mean"] for row in rows]
                for metric in MEASURED
            },
        }
        note = "As Lee et al. 2022 cite them: other patients, other scanners, other readers."
        return TextTable(TITLES[READERS], shown, [note])

    def reported(self, runs: Sequence[LoadedRun]) -> list[dict[str, object]]:
        """The rows of the tables that have a row of ours, and Table 5 with Table 4."""
        matched = self._matched(runs)
        wanted = {*matched, *([READERS] if POOLED in matched else [])}
        named = {name for rows in matched.values() for name in _measured(rows)}
        found: list[dict[str, object]] = []
        for row in self.rows:
            if row["table"] not in wanted:
                continue
            reader = row["table"] == READERS
            listed: dict[str, object] = {
                "table": row["table"],
                "run": row["encoder"] if reader else f"Lee et al. 2022, Table {row['table']}",
                "encoder": "" if reader else row["encoder"],
                "aggregator": "" if reader else row["aggregator"] or "(slices)",
                "loss": row["loss"],
                "folds": None if reader else 10,
                "parameters": int(row["parameters"]) if row["parameters"] else None,
            }
            for metric, (mean, std) in scores_of(row).items():
                if metric in named:
                    listed |= {f"{metric}_mean": mean, f"{metric}_std": std}
            found.append(listed)
        return found

    def document(self, runs: Sequence[LoadedRun]) -> dict[str, Any]:
        """Tables as JSON; means and standard deviations (ddof 0) are fractions."""
        tables = []
        for table, rows in self._matched(runs).items():
            order = agreement(rows)
            tables.append(
                {
                    "table": table,
                    "title": TITLES[table],
                    "rows": [self._row(row, _measured(rows)) for row in rows],
                    "agreement": None
                    if order is None
                    else {"n": order.n, **_plain(spearman=order.spearman, kendall=order.kendall)},
                }
            )
        readers = [
            {"reader": row["encoder"], **_numbers(scores_of(row))}
            for row in self.rows
            if row["table"] == READERS
        ]
        return {
            "name": self.name,
            "note": self.note,
            "ddof": self.ddof,
            "tables": tables,
            "readers": readers,
        }

    def _row(self, row: PublishedRow, named: Sequence[str]) -> dict[str, Any]:
        ours = None
        if row.run is not None:
            ours = {
                "run": row.run.name,
                "folds": len(row.run.predictions),
                **_numbers(summary(row, ddof=self.ddof), named),
            }
        return {
            "encoder": row.encoder,
            "aggregator": row.aggregator,
            "loss": row.loss,
            "ours": ours,
            "reported": _numbers(row.reported, named),
        }

    def _matched(self, runs: Sequence[LoadedRun]) -> dict[str, list[PublishedRow]]:
        """The rows of each table with our runs of them, for tables that have any."""
        found: dict[str, list[PublishedRow]] = {}
        ran = set()
        for row in self.rows:
            if row["table"] == READERS:
                continue
            scores = scores_of(row)
            mine = [run for run in runs if _components_of(run) == _components(row)]
            if mine:
                ran.add(row["table"])
            for run in mine:
                found.setdefault(row["table"], []).append(row_of(run, reported=scores))
            if not mine:
                encoder, pooling, loss = row["encoder"], row["aggregator"] or None, row["loss"]
                found.setdefault(row["table"], []).append(
                    PublishedRow(encoder, pooling, loss, reported=scores)
                )
        return {table: rows for table, rows in found.items() if table in ran}


def scores_of(row: Mapping[str, str]) -> dict[str, MeanStd]:
    """Mean and standard deviation of each metric that a published row has, as fractions."""
    found = {}
    for metric in MEASURED:
        scale = 100 if metric.percent else 1
        mean, std = (row[f"{metric.name.lower()}_{what}"] for what in ("mean", "std"))
        if mean:
            found[metric.name] = float(mean) / scale, float(std) / scale if std else math.nan
    return found


def _components(row: Mapping[str, str]) -> tuple[str, str, str]:
    return components(row["encoder"], row["aggregator"] or None, row["loss"])


def _components_of(run: LoadedRun) -> tuple[str, str, str]:
    experiment = run.experiment
    return components(experiment["encoder"], experiment["aggregator"], experiment["loss"])


def _measured(rows: Sequence[PublishedRow]) -> list[str]:
    """The metrics that make sense beside ours: recalls only where the classes are T2 and T3."""
    return [metric.name for metric in metrics(rows)]


def _numbers(
    scores: Mapping[str, MeanStd], named: Sequence[str] | None = None
) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for metric, (mean, std) in scores.items():
        if named is None or metric in named:
            found |= _plain(**{f"{metric}_mean": mean, f"{metric}_std": std})
    return found


def _plain(**numbers: float) -> dict[str, float | None]:
    """JSON has no NaN."""
    return {name: None if math.isnan(value) else value for name, value in numbers.items()}
