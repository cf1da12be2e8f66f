"""Tables of a report as plain values: leaderboard, confusion, strata, cost."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from volbench.audit.features import STRATUM, meaning
from volbench.evaluation.metrics import confusion, metrics_for
from volbench.evaluation.strata import strata_of, stratum_scores
from volbench.experiment.setting_differences import COMPONENTS
from volbench.leaderboard.identity import row_settings
from volbench.leaderboard.statistics.comparison import Candidate, Comparison
from volbench.leaderboard.statistics.per_class import DEFINITION, class_scores
from volbench.leaderboard.text import averaged
from volbench.report.report_row import ReportRow, number

SHADES = 8


@dataclass(frozen=True)
class ReportTableRow:
    """A row; ``kind`` is a class of the style sheet, ``span`` the columns of its first cell."""

    head: str
    cells: tuple[str, ...]
    kind: str = ""
    span: int = 1


@dataclass(frozen=True)
class Table:
    """A table: the first column holds the rows' heads, the ``texts`` next are text, not numbers."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[ReportTableRow, ...]
    texts: int = 0


def leaderboard(comparison: Comparison, rows: Sequence[ReportRow]) -> Table:
    """Candidates with the headline metrics, the audit's rows beneath."""
    metrics = (
        [
            metric
            for metric in metrics_for(comparison.classes).values()
            if metric.headline and metric.name != "auc"
        ]
        if comparison.classes
        else []
    )
    barred = any(row.candidate.bar for row in rows)
    settings = row_settings([row.candidate for row in rows])
    texts = len(COMPONENTS) + len(settings)
    columns = (
        "candidate",
        *COMPONENTS,
        *(setting.heading for setting in settings),
        "group",
        "AUC",
        "95 % interval",
        *(metric.column for metric in metrics),
        "folds",
        *(["beats audit"] if barred else []),
    )
    body = [
        ReportTableRow(
            str(row.number),
            (
                *(row.candidate.encoder, row.candidate.aggregator, row.candidate.loss),
                *(setting.texts[place] for setting in settings),
                row.candidate.letters or "–",
                mean_std(row.candidate, "auc"),
                _interval(row.candidate),
                *(mean_std(row.candidate, m.name, percent=m.percent) for m in metrics),
                _folds(row.candidate),
                *([_beats(row.candidate)] if barred else []),
            ),
            "" if row.candidate.status == "complete" else "incomplete",
        )
        for place, row in enumerate(rows)
    ]
    for shortcut in comparison.shortcuts:
        label = "; nearly the label itself" if shortcut.label else ""
        auc = f"{number(shortcut.auc.mean)} ± {number(shortcut.auc.std)}"
        features = f"{_feature_set(shortcut.features)}{label}"
        rest = len(columns) - texts - 3
        cells = (features, auc, *[""] * rest)
        body.append(ReportTableRow("audit", cells, "audit", span=texts + 1))
    unit = {"slice": "slice", "case": "case", "patient": "patient"}[comparison.unit]
    caption = (f"{averaged(comparison)}, one score per {unit}. Rows are sorted by mean AUC.") + (
        f" {DEFINITION}." if len(comparison.classes) > 2 else ""
    )
    return Table(caption, columns, tuple(body), texts=texts + 1)


def mean_std(candidate: Candidate, metric: str, *, percent: bool = False) -> str:
    """Mean and standard deviation over folds."""
    score = candidate.score(metric)
    if math.isnan(score.mean):
        return "–"
    factor, digits = (100, 1) if percent else (1, 3)
    return f"{number(factor * score.mean, digits)} ± {number(factor * score.std, digits)}"


@dataclass(frozen=True)
class Confusion:
    """Counts of true class (row) against decision (column).

    Attributes:
        cells: For each true class, for each decision: count, share of the row, shade.
        areas: AUC of each true class against the rest; empty of two classes.
    """

    title: str
    classes: tuple[str, ...]
    cells: tuple[tuple[tuple[int, str, int], ...], ...]
    areas: tuple[str, ...] = ()


def confusions(rows: Sequence[ReportRow]) -> list[Confusion]:
    """One matrix per candidate, all folds (and seeds) together."""
    found = []
    for row in rows:
        if not row.items:
            continue
        classes = row.items[0].classes
        counts = np.sum(
            [confusion(items.labels, items.predicted, len(classes)) for items in row.items], axis=0
        )
        cells = tuple(
            tuple(
                (
                    int(count),
                    f"{100 * count / line.sum():.0f} %" if line.sum() else "–",
                    round(SHADES * count / max(line.sum(), 1)),
                )
                for count in line
            )
            for line in counts
        )
        areas = tuple(number(score.auc) for score in class_scores(row.items))
        found.append(Confusion(row.title, classes, cells, areas if len(classes) > 2 else ()))
    return found


@dataclass(frozen=True)
class Stratum:
    """One column of what is known of the cases.

    Attributes:
        areas: By position of the candidate: AUC of each group.
    """

    column: str
    groups: tuple[str, ...]
    table: Table
    areas: dict[int, tuple[float, ...]]

    @property
    def has_areas(self) -> bool:
        """Whether any group is large enough to have an AUC."""
        return any(math.isfinite(area) for areas in self.areas.values() for area in areas)


def strata(comparison: Comparison, rows: Sequence[ReportRow]) -> list[Stratum]:
    """AUC of every candidate in every group of every column that differs between cases."""
    known = strata_of(comparison.first_run.case_rows)
    frames: dict[int, pd.DataFrame] = {}
    for place, row in enumerate(rows):
        scored = [stratum_scores(items, known) for items in row.items] if known else []
        if any(map(len, scored)):  # else no column differs between cases
            each = pd.concat(scored).groupby(["stratum", "group"], sort=False)
            frames[place] = each.mean(numeric_only=True).reset_index()
    if not frames:
        return []
    first = max(frames.values(), key=lambda frame: frame["n"].sum())
    found = []
    for column in dict.fromkeys(first["stratum"]):
        part = first[first["stratum"] == column]
        areas = {place: tuple(_areas(frame, column, part)) for place, frame in frames.items()}
        body = tuple(
            ReportTableRow(
                str(line["group"]),
                (
                    str(round(line["n"])),
                    *(str(round(line[f"n_{name}"])) for name in comparison.classes),
                    *(number(areas[place][position], 3) for place in areas),
                ),
            )
            for position, (_, line) in enumerate(part.iterrows())
        )
        columns = (
            *(column, "n", *(f"n {name}" for name in comparison.classes)),
            *(f"AUC {rows[place].number}" for place in areas),
        )
        table = Table(f"AUC by {column}; candidates by number", columns, body)
        found.append(Stratum(column, tuple(map(str, part["group"])), table, areas))
    return found


def _areas(frame: pd.DataFrame, column: str, part: pd.DataFrame) -> list[float]:
    mine = frame[frame["stratum"] == column].set_index("group")["auc"]
    return [float(mine.get(group, math.nan)) for group in part["group"]]


def cost(comparison: Comparison, rows: Sequence[ReportRow]) -> Table:
    """Size, and where all ran on one machine, speed."""
    speed = comparison.one_machine
    columns = ("candidate", "million parameters") + (
        ("seconds per fold", "training cases per second", "peak memory GB") if speed else ()
    )
    body = []
    for row in rows:
        known = row.candidate.cost
        size = number(None if known.parameters is None else known.parameters / 1e6, 2)
        memory = None if known.peak_memory_mb is None else known.peak_memory_mb / 1024
        taken = (number(known.seconds, 1), number(known.samples_per_second, 1), number(memory, 2))
        body.append(ReportTableRow(row.title, (size, *(taken if speed else ()))))
    return Table("Size and speed, means over folds", columns, tuple(body))


def _feature_set(features: str) -> str:
    """Its name and what it knows; a column of the data set says that by itself."""
    if features.startswith(STRATUM):
        return f"column {features.removeprefix(STRATUM)}"
    return f"{features} ({meaning(features)})"


def _interval(candidate: Candidate) -> str:
    auc = candidate.score("auc")
    return "–" if math.isnan(auc.low) else f"{number(auc.low)} to {number(auc.high)}"


def _folds(candidate: Candidate) -> str:
    failed = f"{candidate.failed} failed" if candidate.failed else candidate.status
    word = "" if candidate.status == "complete" else f", {failed}"
    return f"{candidate.folds}/{candidate.folds_total}{word}"


def _beats(candidate: Candidate) -> str:
    return "–" if candidate.bar is None else "yes" if candidate.bar.beaten else "not shown"
