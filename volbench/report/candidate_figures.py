"""Figures with one row per candidate: AUC per fold, differences, strata."""

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup
from matplotlib.figure import Figure

from volbench.leaderboard.statistics.comparison import Comparison, Pair
from volbench.report.drawings import draw_folds, draw_row_titles
from volbench.report.palette import PAGE
from volbench.report.report_row import ReportRow, number, signed
from volbench.report.svg import ACCENT, FAINT, INK, MUTED, PAPER, SECOND, figure

WIDTH = 640
ROW = 46
EDGE = 60
"""Room for the axis and its name."""


def folds(rows: Sequence[ReportRow], *, name: str) -> Markup | None:
    """AUC of every fold in every row; a line joins what one fold has in neighbouring rows."""
    with_areas = [row for row in rows if any(map(math.isfinite, row.areas.values()))]
    if not with_areas:
        return None
    keys = sorted({key for row in with_areas for key in row.areas})

    def draw(sheet: Figure) -> None:
        scores = [row.candidate.score("auc") for row in with_areas]
        draw_folds(
            sheet.add_subplot(),
            [row.title for row in with_areas],
            [row.areas for row in with_areas],
            [(score.mean, score.low, score.high) for score in scores],
            PAGE,
        )

    said = "; ".join(
        f"{row.label}: mean {number(row.candidate.score('auc').mean)}, folds "
        + ", ".join(number(row.areas.get(key, math.nan), 2) for key in keys)
        for row in with_areas
    )
    return figure(
        draw,
        width=WIDTH,
        left=12,
        height=ROW * len(with_areas) + EDGE,
        name=name,
        label=f"AUC fold by fold. {said}.",
    )


def differences(comparison: Comparison, rows: Sequence[ReportRow], *, name: str) -> Markup | None:
    """The difference of each complete row from one of them, with its 95 % interval."""
    pairs = [pair for pair in comparison.shown_pairs() if math.isfinite(pair.difference)]
    if not pairs:
        return None

    def draw(sheet: Figure) -> None:
        axes = sheet.add_subplot()
        axes.grid(axis="x")
        axes.axvspan(-comparison.margin, comparison.margin, color=FAINT, alpha=0.5, lw=0)
        axes.axvline(0, color=MUTED, lw=1)
        for height, pair in enumerate(pairs):
            tone = MUTED if pair.verdict == "no difference shown" else ACCENT
            axes.plot([pair.low, pair.high], [height] * 2, color=tone, lw=2, solid_capstyle="butt")
            filled = tone if tone == ACCENT else PAPER
            axes.plot([pair.difference], [height], color=tone, marker="s", ms=7, mfc=filled)
        draw_row_titles(axes, [rows[pair.first].title for pair in pairs], [*map(_said, pairs)])
        axes.set_xlabel("difference in AUC (right: better)")

    against = rows[pairs[0].second].label
    said = "; ".join(f"{rows[pair.first].label}: {_said(pair)}" for pair in pairs)
    return figure(
        draw,
        width=WIDTH,
        left=12,
        height=ROW * len(pairs) + EDGE,
        name=name,
        label=f"Differences in AUC from {against}. {said}.",
    )


def strata(
    groups: Sequence[str],
    areas: Mapping[int, Sequence[float]],
    rows: Sequence[ReportRow],
    *,
    name: str,
) -> Markup | None:
    """AUC of every candidate, by its number, in each group of one column."""
    if not any(math.isfinite(area) for each in areas.values() for area in each):
        return None

    def draw(sheet: Figure) -> None:
        axes = sheet.add_subplot()
        axes.grid(axis="x")
        for place, each in areas.items():
            tone, marker = MARKS[place % len(MARKS)]
            shift = 0.12 * ((place % 3) - 1)
            heights = [height + shift for height in range(len(groups))]
            axes.plot(each, heights, ls="none", color=tone, marker=marker, ms=6, mec=PAPER)
        draw_row_titles(axes, list(groups))
        axes.set_xlabel("AUC, all folds together")

    said = "; ".join(
        f"{rows[place].label}: "
        + ", ".join(f"{group} {number(area, 2)}" for group, area in zip(groups, each, strict=True))
        for place, each in areas.items()
    )
    return figure(
        draw, width=WIDTH, left=12, height=ROW * len(groups) + EDGE, name=name, label=said
    )


MARKS = [(tone, marker) for marker in "oDs^v" for tone in (ACCENT, SECOND, INK)]


def _said(pair: Pair) -> str:
    interval = f"[{signed(pair.low)}, {signed(pair.high)}]"
    return f"{signed(pair.difference)} {interval}: {pair.verdict}"
