"""Drawings on matplotlib axes, shared by the report and ``volbench.plot``."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from volbench.evaluation.metrics import ReliabilityBin
from volbench.report.palette import PAGE, Palette
from volbench.runs.history_file import VALIDATION_LOG_LOSS

GRID = np.linspace(0, 1, 401)
"""False positive rates at which curves of folds are averaged."""
TICKS = (0, 0.25, 0.5, 0.75, 1)
SIGN_WIDTH = 0.53
"""Mean width of a sign, as a share of the size of its font; that of a wide one."""
UNITS_PER_INCH = 72

HISTORIES = (
    ("train_loss", "training loss", "accent"),
    (VALIDATION_LOG_LOSS, "validation log loss", "second"),
)
"""Column of history.csv, its name in a figure, its colour."""


def draw_roc_frame(axes: Axes, palette: Palette) -> None:
    """Axes, grid and diagonal of ROC curves."""
    axes.grid()
    axes.plot([0, 1], [0, 1], color=palette.muted, lw=1, ls=(0, (2, 3)))
    axes.set(xlabel="1 − specificity", ylabel="sensitivity", aspect="equal")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=TICKS, yticks=TICKS)


def draw_roc_band(
    axes: Axes, curves: Sequence[Float[np.ndarray, " rate"]], palette: Palette
) -> None:
    """One standard deviation of the curves of several folds around their mean."""
    if len(curves) < 2:
        return
    mean, std = np.mean(curves, axis=0), np.std(curves, axis=0, ddof=1)
    low, high = np.clip(mean - std, 0, 1), np.clip(mean + std, 0, 1)
    axes.fill_between(GRID, low, high, color=palette.accent, alpha=0.22, lw=0)


def draw_roc_mean(axes: Axes, curves: Sequence[Float[np.ndarray, " rate"]], **line: Any) -> None:
    """Mean sensitivity of the folds at each false positive rate."""
    axes.plot([0.0, *GRID], [0.0, *np.mean(curves, axis=0)], **{"lw": 2, **line})


def draw_calibration(
    axes: Axes, bins: Sequence[ReliabilityBin], palette: Palette, **line: Any
) -> None:
    """What was predicted against what came true."""
    points = [each.probability for each in bins], [each.observed for each in bins]
    axes.plot(*points, **{"color": palette.accent, "lw": 1.5, "marker": "o", "ms": 5, **line})


def draw_calibration_frame(axes: Axes, palette: Palette) -> None:
    """Grid and diagonal of calibration curves."""
    axes.grid()
    axes.plot([0, 1], [0, 1], color=palette.muted, lw=1, ls=(0, (2, 3)))
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.04, 1.04), xticks=TICKS, yticks=TICKS)


def draw_counts(axes: Axes, bins: Sequence[ReliabilityBin], palette: Palette) -> None:
    """How many items each point of a calibration curve is."""
    most = max(each.items for each in bins)
    middle = [(each.low + each.high) / 2 for each in bins]
    axes.bar(middle, [each.items for each in bins], width=0.08, color=palette.faint)
    axes.set(ylabel="n", yticks=(0, most), ylim=(0, most * 1.05), xticks=TICKS)


def draw_history(
    axes: Axes, histories: Sequence[pd.DataFrame], key: str, tone: str, dashes: Any = "solid"
) -> None:
    """One column of history.csv by epoch: every fold thin, their mean bold."""
    axes.grid()
    for history in histories:
        axes.plot(history["epoch"], history[key], color=tone, alpha=0.35, lw=0.8)
    mean = mean_history(histories, key)
    marker = "o" if len(mean) < 3 else None
    axes.plot(mean.index, mean, color=tone, lw=2.2, ls=dashes, marker=marker, ms=4)
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=(1, 2, 2.5, 5, 10)))
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))


def mean_history(histories: Sequence[pd.DataFrame], key: str) -> "pd.Series[float]":
    """Mean over folds by epoch; of the folds that lasted so long."""
    columns = [history.set_index("epoch")[key] for history in histories]
    return pd.concat(columns, axis=1).mean(axis=1).dropna()


def draw_folds(
    axes: Axes,
    titles: Sequence[str],
    areas: Sequence[Mapping[Any, float]],
    intervals: Sequence[tuple[float, float, float]],
    palette: Palette,
    *,
    findings: Sequence[str] = (),
) -> None:
    """AUC of every fold in every row, joined by fold; mean and interval of each row.

    Args:
        axes: Where to draw.
        titles: Of each row.
        areas: AUC by fold, of each row.
        intervals: Mean and both ends of its interval, NaN where there is none, of each row.
        palette: Colours.
        findings: Right above each row.
    """
    axes.grid(axis="x")
    heights = range(len(titles))
    for key in sorted({key for row in areas for key in row}):
        line = [row.get(key, math.nan) for row in areas]
        axes.plot(line, heights, color=palette.muted, lw=0.8, alpha=0.55)
        axes.plot(line, heights, color=palette.muted, ls="none", marker="o", ms=3.5)
    for height, (mean, low, high) in zip(heights, intervals, strict=True):
        axes.plot([low, high], [height] * 2, color=palette.accent, lw=2, solid_capstyle="butt")
        axes.plot([mean], [height], color=palette.accent, marker="D", ms=8, mec=palette.paper)
    draw_row_titles(axes, titles, findings, palette)
    axes.set_xlabel("AUC of a fold")


def draw_row_titles(
    axes: Axes, titles: Sequence[str], findings: Sequence[str] = (), palette: Palette = PAGE
) -> None:
    """Write each row's title above it: no margin is wide enough for a long one."""
    axes.set_ylim(len(titles) - 0.6, -0.75)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    room = room_for_signs(axes)
    for height, title in enumerate(titles):
        beside = len(findings[height]) + 2 if findings else 0
        write(axes, 0, height - 0.25, title, most=max(8, room - beside), palette=palette)
    for height, finding in enumerate(findings):
        write(axes, 1, height - 0.25, finding, right=True, most=room, palette=palette)


def room_for_signs(axes: Axes) -> int:
    """How many signs of text fit between the sides of the axes."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    points = UNITS_PER_INCH * figure.get_figwidth() * axes.get_position().width
    return int(points / (SIGN_WIDTH * float(matplotlib.rcParams["font.size"])))


def write(
    axes: Axes,
    x: float,
    y: float,
    text: str,
    *,
    most: int,
    right: bool = False,
    palette: Palette = PAGE,
) -> None:
    """Write text that others chose: a dollar is a dollar, and no control character is left.

    ``x`` is a share of the axes' width, ``y`` a value of their vertical axis; the middle of more
    signs than ``most`` is left out.
    """
    axes.text(
        *(x, y, printable(text, most=most)),
        transform=axes.get_yaxis_transform(),
        ha="right" if right else "left",
        va="bottom",
        color=palette.ink,
        parse_math=False,
        clip_on=False,
        bbox={"facecolor": palette.paper, "edgecolor": "none", "alpha": 0.75, "pad": 1},
    )


def printable(text: str, *, most: int) -> str:
    """Replace what cannot stand in a figure, and shorten the middle of what is very long."""
    shown = "".join(sign if sign.isprintable() else "�" for sign in text)
    if len(shown) <= most:
        return shown
    return f"{shown[: most // 2 - 1]}…{shown[-most // 2 :]}"


def shown_histories(histories: Iterable[pd.DataFrame]) -> list[tuple[str, str, str]]:
    """The columns of `HISTORIES` that every fold has."""
    found = list(histories)
    return [each for each in HISTORIES if found and all(each[0] in one for one in found)]
