"""Curves of one candidate: ROC with a band, calibration, learning curves."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from markupsafe import Markup
from matplotlib.figure import Figure

from volbench.evaluation.items import Items
from volbench.evaluation.metrics import ReliabilityBin, RocCurve, reliability_bins, roc_curve
from volbench.report.drawings import (
    GRID,
    draw_calibration,
    draw_calibration_frame,
    draw_counts,
    draw_history,
    draw_roc_band,
    draw_roc_frame,
    draw_roc_mean,
    mean_history,
    shown_histories,
)
from volbench.report.palette import DASHES, PAGE, TONES
from volbench.report.report_row import ReportRow, number
from volbench.report.svg import INK, figure

WIDTH, HEIGHT = 300, 270
TOGETHER = 356
"""Width of the figure with all curves."""
BORDERS = ("solid", "dashed", "dotted")
"""Class of the style sheet for each of `DASHES`."""

TOLD = (0.1, 0.2, 0.3)
"""False positive rates at which the text beside a curve gives the sensitivity."""

Sensitivity = Float[np.ndarray, " rate"]


def sensitivities(curve: RocCurve, rates: Float[np.ndarray, " rate"]) -> Sensitivity:
    """Sensitivity at false positive rates, straight between achieved points.

    So the area below is that of the trapezoidal rule, which is the AUC. Where a rate is achieved
    with several sensitivities, the largest counts.
    """
    x, y = curve.false_positive_rate, curve.true_positive_rate
    before = np.searchsorted(x, rates, side="right") - 1
    after = np.minimum(before + 1, len(x) - 1)
    step = np.where(after > before, x[after] - x[before], 1.0)
    return np.asarray(y[before] + (y[after] - y[before]) * (rates - x[before]) / step)


def mean_curve(
    labels: Int[np.ndarray, " item"],
    probabilities: Float[np.ndarray, "item class"],
    rates: Float[np.ndarray, " rate"],
) -> Sensitivity | None:
    """The curve of the second of two classes, of several the mean one-vs-rest; None without one."""
    classes = probabilities.shape[1]
    of = (1,) if classes == 2 else range(classes)
    curves = [roc_curve(labels, probabilities, index) for index in of]
    if not all(len(curve.thresholds) for curve in curves):
        return None
    return np.asarray(np.mean([sensitivities(curve, rates) for curve in curves], axis=0))


def fold_curves(folds: Sequence[Items], rates: Float[np.ndarray, " rate"]) -> list[Sensitivity]:
    """The curve of each fold that has cases of all classes."""
    found = (mean_curve(items.labels, items.probabilities, rates) for items in folds)
    return [curve for curve in found if curve is not None]


def roc(shown: ReportRow, *, name: str) -> Markup | None:
    """Mean sensitivity over folds at each false positive rate, with one standard deviation."""
    curves = fold_curves(shown.by_fold, GRID)
    if not curves:
        return None

    def draw(sheet: Figure) -> None:
        axes = sheet.add_subplot()
        draw_roc_frame(axes, PAGE)
        draw_roc_band(axes, curves, PAGE)
        draw_roc_mean(axes, curves, color=PAGE.accent)

    told = np.mean(fold_curves(shown.by_fold, np.array(TOLD)), axis=0)
    said = ", ".join(f"{at:.2f} at {1 - rate:.1f}" for rate, at in zip(TOLD, told, strict=True))
    auc = shown.candidate.score("auc")
    label = (
        f"ROC curve of {shown.label}, mean of {len(curves)} folds. Sensitivity at specificity: "
        f"{said}. AUC {number(auc.mean)}, standard deviation {number(auc.std)}."
    )
    return figure(draw, width=WIDTH, height=HEIGHT, name=name, label=label)


def roc_together(rows: Sequence[ReportRow], *, name: str) -> Markup | None:
    """The mean curves of all candidates laid over one another; None for fewer than two."""
    found = [(row, curves) for row in rows if (curves := fold_curves(row.by_fold, GRID))]
    if len(found) < 2:
        return None
    said = "; ".join(
        f"{row.title}: AUC {number(row.candidate.score('auc').mean)}" for row, _ in found
    )
    return overlaid(
        [(row.title, curves) for row, curves in found],
        name=name,
        label=f"Mean ROC curves of {len(found)} candidates. {said}.",
    )


def overlaid(
    found: Sequence[tuple[str, Sequence[Sensitivity]]], *, name: str, label: str
) -> Markup:
    """Mean ROC curves over one another, and their key: what is inside of a ``figure``.

    Args:
        found: Name and curves at `GRID` of each.
        name: Unique on the page.
        label: What the figure says, for those who do not see it.
    """

    def draw(sheet: Figure) -> None:
        axes = sheet.add_subplot()
        draw_roc_frame(axes, PAGE)
        for line, (_, curves) in enumerate(found):
            tone, dashes = PAGE.line(line)
            draw_roc_mean(axes, curves, color=tone, ls=dashes, lw=1.8)

    # The key is text of the page: it wraps beside the figure, or below it where there is no room.
    entry = Markup('<span class="line"><i class="{}"></i><span>{}</span></span>')
    lines = Markup("").join(
        entry.format(_line_class(line), title) for line, (title, _) in enumerate(found)
    )
    drawn = figure(draw, width=TOGETHER, height=TOGETHER - 14, name=name, label=label)
    return Markup('{}<figcaption class="key">{}</figcaption>').format(drawn, lines)


def _line_class(line: int) -> str:
    """Classes of the style sheet that draw a line of the key as `Palette.line` draws its curve."""
    tone, dashes = PAGE.line(line)
    return f"c-{TONES[tone]} {BORDERS[DASHES.index(dashes)]}"


def bins_of(items: Sequence[Items]) -> list[ReliabilityBin]:
    """Bins of all items of some runs together; all folds, too."""
    labels = np.concatenate([each.labels for each in items])
    return bins(labels, np.concatenate([each.probabilities for each in items]))


def bins(
    labels: Int[np.ndarray, " item"], probabilities: Float[np.ndarray, "item class"]
) -> list[ReliabilityBin]:
    """Bins of the second of two classes, or of the most probable of several."""
    return reliability_bins(labels, probabilities, of=1 if probabilities.shape[1] == 2 else None)


def calibration(shown: ReportRow, *, name: str, x: str, y: str) -> Markup | None:
    """What was predicted against what came true, of one candidate."""
    if not shown.items:
        return None
    return calibration_of(bins_of(shown.items), of=shown.label, name=name, x=x, y=y)


def calibration_of(
    points: Sequence[ReliabilityBin], *, of: str, name: str, x: str, y: str
) -> Markup:
    """What was predicted against what came true, and below how many items each point is."""

    def draw(sheet: Figure) -> None:
        axes, counts = sheet.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        draw_calibration_frame(axes, PAGE)
        draw_calibration(axes, points, PAGE)
        axes.set(ylabel=y)
        draw_counts(counts, points, PAGE)
        counts.set(xlabel=x)

    said = "; ".join(
        f"predicted {each.probability:.2f}, observed {each.observed:.2f}, n {each.items}"
        for each in points
    )
    label = f"Calibration of {of}. {said}."
    return figure(draw, width=WIDTH, height=HEIGHT, name=name, label=label)


def learning(histories: Sequence[pd.DataFrame], *, title: str, name: str) -> Markup | None:
    """Training loss and validation log loss by epoch: every fold thin, their mean bold."""
    if not histories:
        return None
    kinds = shown_histories(histories)
    means = {key: mean_history(histories, key) for key, *_ in kinds}

    def draw(sheet: Figure) -> None:
        axes = sheet.subplots(len(kinds), 1, sharex=True, squeeze=False)[:, 0]
        sheet.subplots_adjust(top=1 - 24 / HEIGHT, hspace=0.3)
        for place, (key, text, tone) in zip(axes, kinds, strict=True):
            dashes = "solid" if key == "train_loss" else (0, (4, 2))
            draw_history(place, histories, key, getattr(PAGE, tone), dashes)
            # Above, not beside: no margin is wide enough for every number on the axis.
            place.set_title(text, loc="left", fontsize="medium", pad=3, color=INK)
        axes[-1].set_xlabel("epoch")

    said = "; ".join(
        f"{text} {means[key].iloc[0]:.3g} in the first epoch, {means[key].min():.3g} at its "
        f"lowest (epoch {means[key].idxmin():.0f}), {means[key].iloc[-1]:.3g} in the last"
        for key, text, *_ in kinds
        if len(means[key])
    )
    label = f"Learning curves of {title}, mean of {len(histories)} folds: {said}."
    return figure(draw, width=WIDTH, height=HEIGHT, name=name, label=label)
