"""A comparison as a table that a browser can sort: what is shown beside what it is sorted by."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from volbench.leaderboard.identity import identities
from volbench.leaderboard.render.layout import chosen_metrics
from volbench.leaderboard.statistics.comparison import Candidate, Comparison
from volbench.leaderboard.text import averaged
from volbench.report.report_row import ReportRow, number
from volbench.report.tables import mean_std
from volbench.site.compute_hours import hours_of
from volbench.site.place_range import PlaceRange, place_ranges


@dataclass(frozen=True)
class SiteCell:
    """What is shown, and the number it is sorted by; None sorts by the text, NaN stands last."""

    text: str
    value: float | None = None
    places: PlaceRange | None = None

    @property
    def key(self) -> str:
        """Sort key for the page's script; empty for what stands last."""
        if self.value is None:
            return self.text
        return "" if math.isnan(self.value) else f"{self.value:.6g}"


@dataclass(frozen=True)
class SiteColumn:
    """A column; ``meaning`` is said by its header."""

    title: str
    meaning: str = ""
    is_text: bool = False
    descending: bool = False


@dataclass(frozen=True)
class SiteRow:
    """A row and the page of its run."""

    number: int
    head: str
    link: str
    status: str
    cells: tuple[SiteCell, ...]


@dataclass(frozen=True)
class SiteTable:
    """A leaderboard; ``common`` says what all rows share."""

    columns: tuple[SiteColumn, ...]
    rows: tuple[SiteRow, ...]
    common: str


def site_table(
    comparison: Comparison, rows: Sequence[ReportRow], links: Mapping[str, str]
) -> SiteTable:
    """Lay out a comparison, its rows in their order.

    Args:
        comparison: What to show.
        rows: Its rows with numbers and labels.
        links: Page of each run, by the path of its folder.
    """
    _, common = identities(comparison.rows)
    places = place_ranges(comparison)
    columns: dict[SiteColumn, list[SiteCell]] = {}
    if places:
        columns[PLACE] = [_place(places.get(position)) for position in range(len(rows))]
    columns |= _metrics(comparison)
    if any(row.bar for row in comparison.rows):
        columns[AUDIT] = [_audit(row) for row in comparison.rows]
    columns |= _costs(comparison.rows)
    cells = zip(*columns.values(), strict=True)
    return SiteTable(
        tuple(columns),
        tuple(
            SiteRow(
                row.number,
                row.label,
                links[str(row.candidate.runs[0].path)],
                row.candidate.status,
                each,
            )
            for row, each in zip(rows, cells, strict=True)
        ),
        common,
    )


PLACE = SiteColumn("place", "places that the tests leave open; a range is a tie")
AUDIT = SiteColumn("beats audit", "better than every baseline that sees no image", is_text=True)


def _metrics(comparison: Comparison) -> dict[SiteColumn, list[SiteCell]]:
    columns: dict[SiteColumn, list[SiteCell]] = {}
    for metric in chosen_metrics(comparison, None):
        column = SiteColumn(metric.column, averaged(comparison), descending=True)
        columns[column] = [
            SiteCell(
                mean_std(row, metric.name, percent=metric.percent), row.score(metric.name).mean
            )
            for row in comparison.rows
        ]
        if metric.name == "auc":
            interval = SiteColumn("95 % interval", "of the mean AUC, over patients")
            columns[interval] = [_interval(row) for row in comparison.rows]
    folds = SiteColumn("folds", "finished, of all", descending=True)
    columns[folds] = [_folds(row) for row in comparison.rows]
    return columns


def _costs(rows: Sequence[Candidate]) -> dict[SiteColumn, list[SiteCell]]:
    millions = [_or_nan(row.cost.parameters) / 1e6 for row in rows]
    columns = {SiteColumn("M par", "million parameters"): [_number(each, 2) for each in millions]}
    spent = [hours_of(row) for row in rows]
    kinds = sorted({each.unit for each in spent if each})
    for unit in kinds:
        column = SiteColumn(unit, "training of all finished folds, added up")
        hours = [each.hours if each and each.unit == unit else math.nan for each in spent]
        # A few seconds of the shortest row are no zero.
        digits = 2 if min(each for each in hours if not math.isnan(each)) >= 0.005 else 4
        columns[column] = [_number(each, digits) for each in hours]
    return columns


def _place(found: PlaceRange | None) -> SiteCell:
    if found is None:
        return SiteCell("–", math.nan)
    return SiteCell(str(found), found.first + found.last / 1e4, found)


def _interval(row: Candidate) -> SiteCell:
    auc = row.score("auc")
    text = "–" if math.isnan(auc.low) else f"{number(auc.low)} to {number(auc.high)}"
    return SiteCell(text, auc.low)


def _folds(row: Candidate) -> SiteCell:
    state = "" if row.status == "complete" else f", {row.status}"
    return SiteCell(f"{row.folds}/{row.folds_total}{state}", row.folds / max(row.folds_total, 1))


def _audit(row: Candidate) -> SiteCell:
    return SiteCell("–" if row.bar is None else "yes" if row.bar.beaten else "not shown")


def _number(value: float, digits: int) -> SiteCell:
    return SiteCell(number(value, digits), value)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
