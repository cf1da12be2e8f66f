"""Clinical use in a report: decision curves, risk by coverage, prediction sets."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from volbench.errors import DataError, UsageError
from volbench.evaluation.clinical.summary import ClinicalSummary, clinical_summary
from volbench.evaluation.statistics.bootstrap import RESAMPLES
from volbench.report.report_row import ReportRow, number
from volbench.report.svg import ACCENT, FAINT, MUTED, SECOND, figure
from volbench.report.tables import ReportTableRow, Table

WIDTH, HEIGHT = 300, 270
FEWEST = 10
"""Decided cases from which a share of errors is drawn: of one case it is nothing or everything."""


@dataclass(frozen=True)
class ClinicalFigures:
    """What a report shows of one candidate; figures that need two classes are None.

    Attributes:
        title: Of the candidate.
        decisions: Net benefit by threshold, beside treating all and nobody.
        selective: Errors by the share of cases that is decided.
    """

    title: str
    decisions: Markup | None
    selective: Markup


def clinical_summaries(
    rows: Sequence[ReportRow], *, resamples: int = RESAMPLES
) -> list[tuple[ReportRow, ClinicalSummary]]:
    """Judge the first run of each candidate that has all folds; those that cannot be are left out.

    A run whose folds hold out patients several times is one that cannot be pooled.
    """
    found = []
    for row in rows:
        if row.candidate.status != "complete":
            continue
        try:
            summary = clinical_summary(row.candidate.runs[0], resamples=resamples)
        except (DataError, UsageError):
            continue
        found.append((row, summary))
    return found


def clinical_figures(
    summaries: Sequence[tuple[ReportRow, ClinicalSummary]], *, name: str
) -> list[ClinicalFigures]:
    """Draw both figures of every candidate."""
    return [
        ClinicalFigures(
            row.title,
            decision_curve(found, title=row.label, name=f"{name}-decision{row.number}"),
            risk_curve(found, title=row.label, name=f"{name}-risk{row.number}"),
        )
        for row, found in summaries
    ]


def clinical_table(summaries: Sequence[tuple[ReportRow, ClinicalSummary]]) -> Table:
    """Calibration, selective prediction and prediction sets of every candidate, in numbers."""
    body = []
    for row, found in summaries:
        line = found.calibration[0].line if found.calibration else None
        sets = found.conformal
        covered = "–" if sets is None else " / ".join(f"{share:.0%}" for share in sets.coverage)
        cells = (
            number(None if line is None else line.intercept, 2),
            number(None if line is None else line.slope, 2),
            number(found.selective.area),
            covered,
            "–" if sets is None else f"{sets.single:.0%}",
        )
        body.append(ReportTableRow(row.title, cells))
    columns = (
        *("candidate", "calibration intercept", "slope", "AURC"),
        *("covered by 90 % sets, by class", "sets of one class"),
    )
    return Table("Clinical use", columns, tuple(body))


def decision_curve(found: ClinicalSummary, *, title: str, name: str) -> Markup | None:
    """Net benefit with its interval over patients; None of several classes."""
    if not found.curve:
        return None
    thresholds = [point.threshold for point in found.curve]
    model = np.array([point.model for point in found.curve])
    treat_all = [point.treat_all for point in found.curve]

    def draw(sheet: Figure) -> None:
        axes = sheet.subplots()
        axes.grid()
        axes.fill_between(thresholds, model[:, 1], model[:, 2], color=FAINT, lw=0)
        axes.axhline(0, color=MUTED, lw=1, ls=(0, (2, 3)))
        axes.plot(thresholds, treat_all, color=SECOND, lw=1.5, ls=(0, (4, 2)))
        axes.plot(thresholds, model[:, 0], color=ACCENT, lw=2)
        top = max(0.05, float(np.nanmax(model)), treat_all[0])
        axes.set(xlabel="threshold", ylabel="net benefit", ylim=(-0.25 * top, 1.1 * top))

    said = "; ".join(
        f"threshold {point.threshold:g}: {point.model[0]:.3f}, treating all {point.treat_all:.3f}"
        for point in found.curve
    )
    label = f"Decision curve of {title}. {said}."
    return figure(draw, width=WIDTH, height=HEIGHT, name=name, label=label)


def risk_curve(found: ClinicalSummary, *, title: str, name: str) -> Markup:
    """Errors among the surest cases, by how many of them are decided."""
    curve = found.selective
    first = min(FEWEST, len(curve.risk)) - 1

    def draw(sheet: Figure) -> None:
        axes = sheet.subplots()
        axes.grid()
        axes.axhline(float(curve.risk[-1]), color=MUTED, lw=1, ls=(0, (2, 3)))
        axes.plot(curve.coverage[first:], curve.risk[first:], color=ACCENT, lw=2)
        top = max(0.05, 1.1 * float(curve.risk[first:].max()))
        axes.set(xlabel="share decided", ylabel="errors", xlim=(0, 1.02), ylim=(0, top))

    half = float(curve.risk[(len(curve.risk) - 1) // 2])
    label = (
        f"Risk by coverage of {title}: {half:.1%} errors among the surest half, "
        f"{float(curve.risk[-1]):.1%} among all; area {curve.area:.3f}."
    )
    return figure(draw, width=WIDTH, height=HEIGHT, name=name, label=label)
