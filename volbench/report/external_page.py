"""An external evaluation as a page: ROC and calibration curves of all runs, then the tables."""

from html import escape

from markupsafe import Markup
from matplotlib.figure import Figure

from volbench.evaluation.metrics import reliability_bins, roc_curve
from volbench.leaderboard.render.html import STYLE, section_html
from volbench.predict.external import ExternalEvaluation, ExternalRun
from volbench.report.curves import HEIGHT, WIDTH, sensitivities
from volbench.report.drawings import (
    GRID,
    draw_calibration,
    draw_calibration_frame,
    draw_counts,
    draw_roc_frame,
    draw_roc_mean,
)
from volbench.report.external_tables import external_tables
from volbench.report.page import page_policy, report_style
from volbench.report.palette import PAGE
from volbench.report.svg import figure


def external_page(found: ExternalEvaluation) -> str:
    """Write one self-contained page; of several classes, tables only."""
    figures: list[Markup] = []
    if len(found.classes) == 2:
        figures = [
            part
            for number, run in enumerate(found.runs)
            for part in (
                _roc(found, run, name=f"roc-{number}"),
                _calibration(found, run, name=f"calibration-{number}"),
            )
        ]
    style = STYLE + report_style()
    title = f"External evaluation on {found.source}"
    first, *others = external_tables(found)
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{escape(page_policy(style))}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>",
            f"<style>{style}</style></head><body><main>",
            f"<h1>{escape(title)}</h1>",
            section_html(first),
            *(['<div class="panels">', *figures, "</div>"] if figures else []),
            *map(section_html, others),
            "</main></body></html>\n",
        ]
    )


def _roc(found: ExternalEvaluation, run: ExternalRun, *, name: str) -> Markup:
    curve = sensitivities(roc_curve(found.labels, run.probabilities, 1), GRID)

    def draw(sheet: Figure) -> None:
        axes = sheet.add_subplot()
        draw_roc_frame(axes, PAGE)
        draw_roc_mean(axes, [curve], color=PAGE.accent)

    label = (
        f"ROC curve of {run.name} on external cases. AUC {run.auc[0]:.3f}, 95 % interval "
        f"{run.auc[1]:.3f} to {run.auc[2]:.3f}."
    )
    drawing = figure(draw, width=WIDTH, height=HEIGHT, name=name, label=label)
    return _panel(drawing, f"{run.name}: ROC curve of the ensemble")


def _calibration(found: ExternalEvaluation, run: ExternalRun, *, name: str) -> Markup:
    bins = reliability_bins(found.labels, run.probabilities, of=1)

    def draw(sheet: Figure) -> None:
        axes, counts = sheet.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        draw_calibration_frame(axes, PAGE)
        draw_calibration(axes, bins, PAGE)
        axes.set(ylabel=f"share of {found.classes[1]}")
        draw_counts(counts, bins, PAGE)
        counts.set(xlabel=f"predicted probability of {found.classes[1]}")

    said = "; ".join(
        f"predicted {each.probability:.2f}, observed {each.observed:.2f}, n {each.items}"
        for each in bins
    )
    label = f"Calibration of {run.name} on external cases. {said}."
    drawing = figure(draw, width=WIDTH, height=HEIGHT, name=name, label=label)
    return _panel(drawing, f"{run.name}: calibration")


def _panel(drawing: Markup, caption: str) -> Markup:
    return Markup("<figure>{}<figcaption>{}</figcaption></figure>").format(drawing, caption)
