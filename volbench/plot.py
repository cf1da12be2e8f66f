"""Figures of runs as matplotlib axes: the report's drawings, for a notebook or a paper.

Every function takes what `volbench.load_runs` or `volbench.compare` returns, or the path of runs,
draws into the axes it is given, or into new ones, and returns them.
"""

from collections.abc import Callable, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, TypeAlias

from volbench._api.comparisons import Comparisons
from volbench._api.runs import AnyPath, Runs, load_runs
from volbench.errors import UsageError
from volbench.leaderboard.statistics.comparison import Comparison
from volbench.report.palette import LIGHT
from volbench.report.report_row import ReportRow, number, report_rows
from volbench.runs.load import read_history

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Plotted: TypeAlias = Runs | Comparison | Comparisons | AnyPath
"""What can be drawn; of several tables only one at a time."""

WIDTH, SIDE, ROW, EDGE = 640, 330, 46, 60
"""Sizes in units of 1/72 inch."""

__all__ = ["calibration", "history", "leaderboard", "roc"]


def leaderboard(runs: Plotted, *, axes: "Axes | None" = None) -> "Axes":
    """AUC of every fold, joined by fold, with mean and 95 % interval of each candidate.

    Args:
        runs: What to draw, one table.
        axes: Where to draw; new ones by default.

    Raises:
        UsageError: several tables, or no finished fold.

    >>> from volbench import plot
    >>> plot.leaderboard("runs").figure.savefig("leaderboard.png")
    """
    from volbench.report.drawings import draw_folds

    rows = [row for row in _rows(runs) if row.items]
    scores = [row.candidate.score("auc") for row in rows]
    findings = [
        f"{number(score.mean)} {row.candidate.letters}".strip()
        for row, score in zip(rows, scores, strict=True)
    ]

    def draw(place: "Axes") -> None:
        draw_folds(
            place,
            [row.label for row in rows],
            [row.areas for row in rows],
            [(score.mean, score.low, score.high) for score in scores],
            LIGHT,
            findings=findings,
        )

    return _drawn(draw, axes, height=ROW * len(rows) + EDGE)


def roc(runs: Plotted, *, axes: "Axes | None" = None) -> "Axes":
    """Mean ROC curve of each candidate over its folds; of one alone, with one standard deviation.

    Of several classes it is the mean of the one-vs-rest curves.

    Args:
        runs: What to draw, one table.
        axes: Where to draw; new ones by default.

    Raises:
        UsageError: several tables, or no fold with cases of all classes.

    >>> from volbench import plot
    >>> axes = plot.roc("runs")
    >>> axes.figure.savefig("roc.pdf")
    """
    from volbench.report.curves import fold_curves
    from volbench.report.drawings import GRID, draw_roc_band, draw_roc_frame, draw_roc_mean

    found = [(row, fold_curves(row.by_fold, GRID)) for row in _rows(runs)]
    curves = [(row, each) for row, each in found if each]
    if not curves:
        raise UsageError("no fold has cases of all classes, so there is no ROC curve to draw")

    def draw(place: "Axes") -> None:
        draw_roc_frame(place, LIGHT)
        if len(curves) == 1:
            draw_roc_band(place, curves[0][1], LIGHT)
        for line, (row, each) in enumerate(curves):
            tone, dashes = LIGHT.line(line)
            draw_roc_mean(place, each, color=tone, ls=dashes, label=_label(row))
        _legend(place)

    return _drawn(draw, axes, width=SIDE, height=SIDE)


def calibration(runs: Plotted, *, axes: "Axes | None" = None) -> "Axes":
    """Predicted probability against observed share, ten bins, all folds together.

    Of two classes it is the second one's probability, of several that of the decision.

    Args:
        runs: What to draw, one table.
        axes: Where to draw; new ones by default.

    Raises:
        UsageError: several tables, or no finished fold.

    >>> from volbench import plot
    >>> plot.calibration("runs/mine").get_ylabel()
    'observed share'
    """
    from volbench.report.curves import bins_of
    from volbench.report.drawings import draw_calibration, draw_calibration_frame

    rows = [row for row in _rows(runs) if row.items]
    several = len(rows[0].items[0].classes) > 2

    def draw(place: "Axes") -> None:
        draw_calibration_frame(place, LIGHT)
        for line, row in enumerate(rows):
            tone, dashes = LIGHT.line(line)
            draw_calibration(
                place, bins_of(row.items), LIGHT, color=tone, ls=dashes, label=_label(row)
            )
        place.set_xlabel("probability of the decision" if several else "predicted probability")
        place.set_ylabel("share that was right" if several else "observed share")
        _legend(place)

    return _drawn(draw, axes, width=SIDE, height=SIDE)


def history(runs: Plotted, *, axes: "Sequence[Axes] | None" = None) -> "tuple[Axes, ...]":
    """Training loss and validation log loss of one candidate by epoch: folds thin, their mean bold.

    They are losses of two kinds, so each has axes of its own.

    Args:
        runs: One candidate.
        axes: Where to draw, one for each loss; new ones by default.

    Raises:
        UsageError: several candidates, no finished fold, no history, or another number of
            axes.
        StateError: a file is missing or was changed.

    >>> from volbench import plot
    >>> training, validation = plot.history("runs/mine")
    >>> training.get_ylabel()
    'training loss'
    """
    from volbench.report.drawings import draw_history, shown_histories

    rows = [row for row in _rows(runs) if row.items]
    if len(rows) > 1:
        raise UsageError(f"history draws one candidate, and these are {len(rows)}; load one run")
    loaded = [run for run in rows[0].candidate.runs if not run.columns]
    histories = [read_history(run, fold) for run in loaded for fold in run.predictions]
    kinds = shown_histories(histories)
    if not kinds:
        raise UsageError("this candidate has no history: it is fitted on columns alone")
    if axes is not None and len(axes) != len(kinds):
        raise UsageError(f"history needs {len(kinds)} axes, but got {len(axes)}")
    found = []
    places: Sequence[Axes | None] = axes or [None] * len(kinds)
    for place, (key, text, tone) in zip(places, kinds, strict=True):

        def draw(place: "Axes", key: str = key, text: str = text, tone: str = tone) -> None:
            draw_history(place, histories, key, getattr(LIGHT, tone))
            place.set(xlabel="epoch", ylabel=text)

        found.append(_drawn(draw, place, width=SIDE, height=SIDE * 2 // 3))
    return tuple(found)


def _rows(runs: Plotted) -> tuple[ReportRow, ...]:
    """The candidates of the only table, at least one of which has a finished fold."""
    if isinstance(runs, Comparison):
        tables: Sequence[Comparison] = (runs,)
    elif isinstance(runs, tuple):
        tables = runs
    else:
        tables = (runs if isinstance(runs, Runs) else load_runs(runs)).comparisons
    if len(tables) != 1:
        raise UsageError(
            f"these are {len(tables)} tables, on other data or other folds; "
            "draw one, such as volbench.compare()[0]"
        )
    rows = report_rows(tables[0])
    if not any(row.items for row in rows):
        raise UsageError("no fold is finished, so there is nothing to draw")
    return rows


def _label(row: ReportRow) -> str:
    return f"{row.label} (AUC {number(row.candidate.score('auc').mean)})"


LEGEND_SIGNS = 34
"""Signs of a line in a key."""


def _legend(axes: "Axes") -> None:
    """A key whose text is text: a dollar in a name is no formula."""
    legend = axes.legend(loc="best", fontsize="small")
    legend.set_in_layout(False)  # the axes keep their size, however long the names are
    for text in legend.get_texts():
        text.set_text(fill(text.get_text(), LEGEND_SIGNS, break_on_hyphens=False))
        text.set_parse_math(False)


def _drawn(
    draw: "Callable[[Axes], None]",
    axes: "Axes | None",
    *,
    width: int = WIDTH,
    height: int,
) -> "Axes":
    """Draw in the report's style, into new axes if none are given."""
    import matplotlib
    from matplotlib import pyplot as plt

    from volbench.report.drawings import UNITS_PER_INCH

    figure = None
    if axes is None:  # made outside of the context, which would undo what loading a backend sets
        size = width / UNITS_PER_INCH, height / UNITS_PER_INCH
        figure = plt.figure(figsize=size, layout="constrained")
    with matplotlib.rc_context(LIGHT.settings()):
        place = axes if figure is None else figure.add_subplot()
        assert place is not None
        draw(place)
    return place
