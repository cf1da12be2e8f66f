"""AUC against compute: the rows that no other row beats on both, on one machine."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.figure import Figure

from volbench.report.report_row import ReportRow, number
from volbench.report.svg import ACCENT, INK, MUTED, PAPER, figure
from volbench.site.compute_hours import hours_of

WIDTH, HEIGHT = 640, 380
WIDE = 8
"""A range of hours beyond this ratio is drawn on a logarithmic axis."""


@dataclass(frozen=True)
class ParetoPoint:
    """One complete row."""

    row: ReportRow
    hours: float
    auc: float
    low: float
    high: float


@dataclass(frozen=True)
class ParetoFigure:
    """The rows of one machine; ``front`` holds the titles of those on the front, cheapest first."""

    machine: str
    figure: Markup
    front: tuple[str, ...]


def pareto_figures(rows: Sequence[ReportRow], *, name: str) -> list[ParetoFigure]:
    """One figure per machine on which two complete rows or more were trained."""
    groups: dict[tuple[str, tuple[str, ...]], list[ParetoPoint]] = {}
    for row in rows:
        spent, auc = hours_of(row.candidate), row.candidate.score("auc")
        if spent is None or row.candidate.status != "complete" or math.isnan(auc.mean):
            continue
        point = ParetoPoint(row, spent.hours, auc.mean, auc.low, auc.high)
        groups.setdefault((spent.unit, spent.machine), []).append(point)
    found = []
    for place, ((unit, machine), points) in enumerate(groups.items()):
        if len(points) > 1:
            on = front_of([(point.hours, point.auc) for point in points])
            front = sorted((points[at] for at in on), key=lambda point: point.hours)
            drawn = _figure(points, front, unit, name=f"{name}-pareto{place}")
            titles = tuple(point.row.title for point in front)
            found.append(ParetoFigure(_said_once(machine), drawn, titles))
    return found


def _said_once(machine: Sequence[str]) -> str:
    """The run's settings and those of its folds, which mostly are the same."""
    return ", ".join(dict.fromkeys(part for each in machine for part in each.split(", ")))


def front_of(points: Sequence[tuple[float, float]]) -> set[int]:
    """Positions of the points (hours, AUC) with a larger AUC than all that took less.

    The front goes by means: two points of it may be a tie.

    >>> sorted(front_of([(3, 0.9), (1, 0.7), (2, 0.6), (4, 0.9)]))
    [0, 1]
    """
    found: set[int] = set()
    best = -math.inf
    for place in sorted(range(len(points)), key=lambda at: (points[at][0], -points[at][1])):
        if points[place][1] > best:
            found.add(place)
            best = points[place][1]
    return found


def _figure(
    points: Sequence[ParetoPoint], front: Sequence[ParetoPoint], unit: str, *, name: str
) -> Markup:
    def draw(sheet: Figure) -> None:
        axes = sheet.add_subplot()
        axes.grid()
        most, least = max(each.hours for each in points), min(each.hours for each in points)
        if least > 0 and most / least > WIDE:
            axes.set_xscale("log")
        axes.plot(
            [each.hours for each in front],
            [each.auc for each in front],
            color=ACCENT,
            lw=1.5,
            drawstyle="steps-post",
        )
        for point in points:
            tone = ACCENT if point in front else MUTED
            if math.isfinite(point.low):
                axes.plot([point.hours] * 2, [point.low, point.high], color=tone, lw=1, alpha=0.6)
            face = tone if point in front else PAPER
            axes.plot([point.hours], [point.auc], color=tone, marker="o", ms=8, mfc=face)
            axes.annotate(
                str(point.row.number),
                (point.hours, point.auc),
                xytext=(7, 5),
                textcoords="offset points",
                color=INK,
            )
        axes.margins(x=0.08, y=0.08)
        axes.set(xlabel=f"{unit} of all folds", ylabel="mean AUC")

    said = "; ".join(
        f"{point.row.title}: AUC {number(point.auc)}, {point.hours:.3g} {unit}"
        + (", on the front" if point in front else "")
        for point in points
    )
    label = f"AUC against {unit}. {said}."
    return figure(draw, width=WIDTH, height=HEIGHT, name=name, label=label, left=60)
