"""Curves of one candidate: ROC with a band, calibration, learning curves."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from markupsafe import Markup
from matplotlib.figure import Figure

from volbench.evaluation import Items
from volbench.evaluation.metrics import ReliabilityBin, RocCurve, reliability_bins, roc_curve
from volbench.report.report_row import ReportRow, number
from volbench.report.svg import ACCENT, FAINT, FOURTH, INK, MUTED, SECOND, THIRD, figure, write

WIDTH, HEIGHT = 300, 270
TOGETHER = 640
"""Width of the figure with all curves and its key."""

GRID = np.linspace(0, 1, 401)
TICKS = (0, 0.25, 0.5, 0.75, 1)
TOLD = (0.1, 0.2, 0.3)
"""False positive rates at which the text beside a curve gives the sensitivity."""

LINES = [
    (tone, dashes)
    for dashes in ("solid", (0, (5, 2)), (0, (1, 1.5)))
    for tone in (ACCENT, SECOND, THIRD, FOURTH, INK)
]
"""Curves that lie over one another: colours first, then dashes."""

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


def fold_curves(folds: Sequence[Items], rates: Float[np.ndarray, " rate"]) -> list[Sensitivity]:
    """The curve of each fold that has cases of all classes; of several, the mean one-vs-rest."""
    found = []
    for items in folds:
        classes = (1,) if len(items.classes) == 2 else range(len(items.classes))
        curves = [roc_curve(items.labels, items.probabilities, of) for of in classes]
        if all(len(curve.thresholds) for curve in curves):
            found.append(np.mean([sensitivities(curve, rates) for curve in curves], axis=0))
    return found


def roc(shown: ReportRow, *, name: str) -> Markup | None:
    """Mean sensitivity over folds at each false positive rate, with one standard deviation."""
    curves = fold_curves(shown.by_fold, GRID)
    if not curves:
        return None
    mean = np.mean(curves, axis=0)
    std = np.std(curves, axis=0, ddof=1) if len(curves) > 1 else None

    def draw(sheet: Figure) -> None:
        axes = sheet.add_subplot()
        axes.grid()
        axes.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=(0, (2, 3)))
        if std is not None:
            low, high = np.clip(mean - std, 0, 1), np.clip(mean + std, 0, 1)
            axes.fill_between(GRID, low, high, color=ACCENT, alpha=0.22, lw=0)
        axes.plot([0.0, *GRID], [0.0, *mean], color=ACCENT, lw=2)
        axes.set(xlabel="1 − specificity", ylabel="sensitivity", aspect="equal")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=TICKS, yticks=TICKS)

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
    means = {}
    for row in rows:
        if curves := fold_curves(row.by_fold, GRID):
            means[row.number] = (row, np.mean(curves, axis=0))
    if len(means) < 2:
        return None
    step, side = 18, 330
    height = max(side, step * len(means) + 60)

    def draw(sheet: Figure) -> None:
        axes = sheet.add_axes(
            (54 / TOGETHER, 1 - (side - 42) / height, 290 / TOGETHER, 280 / height)
        )
        axes.grid()
        axes.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=(0, (2, 3)))
        key = sheet.add_axes((360 / TOGETHER, 0, 280 / TOGETHER, 1))
        key.set(xlim=(0, 1), ylim=(height, 0))
        key.set_axis_off()
        for line, (row, mean) in enumerate(means.values()):
            tone, dashes = LINES[line % len(LINES)]
            axes.plot([0.0, *GRID], [0.0, *mean], color=tone, ls=dashes, lw=1.8)
            at = 20 + step * line
            key.plot([0, 0.1], [at] * 2, color=tone, ls=dashes, lw=2)
            write(key, 0.13, at + 5, row.title, most=34)
        axes.set(xlabel="1 − specificity", ylabel="sensitivity", aspect="equal")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=TICKS, yticks=TICKS)

    said = "; ".join(
        f"{row.title}: AUC {number(row.candidate.score('auc').mean)}" for row, _ in means.values()
    )
    label = f"Mean ROC curves of {len(means)} candidates. {said}."
    return figure(draw, width=TOGETHER, height=height, name=name, label=label)


def bins_of(items: Sequence[Items]) -> list[ReliabilityBin]:
    """Bins of the second of two classes, or of the most probable of several; all folds together."""
    labels = np.concatenate([each.labels for each in items])
    probabilities = np.concatenate([each.probabilities for each in items])
    return reliability_bins(labels, probabilities, of=1 if probabilities.shape[1] == 2 else None)


def calibration(shown: ReportRow, *, name: str, x: str, y: str) -> Markup | None:
    """What was predicted against what came true, and below how many items each point is."""
    if not shown.items:
        return None
    bins = bins_of(shown.items)

    def draw(sheet: Figure) -> None:
        axes, counts = sheet.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        axes.grid()
        axes.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=(0, (2, 3)))
        points = [each.probability for each in bins], [each.observed for each in bins]
        axes.plot(*points, color=ACCENT, lw=1.5, marker="o", ms=5)
        axes.set(ylabel=y, xlim=(-0.02, 1.02), ylim=(-0.04, 1.04), yticks=TICKS)
        most = max(each.items for each in bins)
        middle = [(each.low + each.high) / 2 for each in bins]
        counts.bar(middle, [each.items for each in bins], width=0.08, color=FAINT)
        counts.set(xlabel=x, ylabel="n", yticks=(0, most), ylim=(0, most * 1.05), xticks=TICKS)

    said = "; ".join(
        f"predicted {each.probability:.2f}, observed {each.observed:.2f}, n {each.items}"
        for each in bins
    )
    label = f"Calibration of {shown.label}. {said}."
    return figure(draw, width=WIDTH, height=HEIGHT, name=name, label=label)


def learning(histories: Sequence[pd.DataFrame], *, title: str, name: str) -> Markup | None:
    """Training and validation loss by epoch: every fold thin, their mean bold."""
    if not histories:
        return None
    kinds = [
        (key, text, tone, dashes)
        for key, text, tone, dashes in (
            ("train_loss", "training", ACCENT, "solid"),
            ("validation_loss", "validation", SECOND, (0, (4, 2))),
        )
        if all(key in history for history in histories)
    ]
    means = {
        key: pd.concat([history.set_index("epoch")[key] for history in histories], axis=1)
        .mean(axis=1)
        .dropna()
        for key, *_ in kinds
    }

    def draw(sheet: Figure) -> None:
        axes = sheet.subplots(len(kinds), 1, sharex=True, squeeze=False)[:, 0]
        sheet.subplots_adjust(top=1 - 24 / HEIGHT, hspace=0.3)
        for place, (key, text, tone, dashes) in zip(axes, kinds, strict=True):
            place.grid()
            marker = "o" if len(means[key]) < 3 else None
            for history in histories:
                place.plot(history["epoch"], history[key], color=tone, alpha=0.35, lw=0.8)
            mean = means[key]
            place.plot(mean.index, mean, color=tone, lw=2.2, ls=dashes, marker=marker, ms=4)
            # Above, not beside: no margin is wide enough for every number on the axis.
            place.set_title(f"{text} loss", loc="left", fontsize="medium", pad=3, color=INK)
            place.locator_params(axis="y", nbins=4)
        axes[-1].set_xlabel("epoch")
        axes[-1].xaxis.get_major_locator().set_params(integer=True)

    said = "; ".join(
        f"{text} loss {means[key].iloc[0]:.3g} in the first epoch, {means[key].min():.3g} at its "
        f"lowest (epoch {means[key].idxmin():.0f}), {means[key].iloc[-1]:.3g} in the last"
        for key, text, *_ in kinds
        if len(means[key])
    )
    label = f"Learning curves of {title}, mean of {len(histories)} folds: {said}."
    return figure(draw, width=WIDTH, height=HEIGHT, name=name, label=label)
