"""Plots of a tuned run, tuning.html: history, slices, parallel coordinates, importances."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from volbench._utils.atomic_io import write_atomic
from volbench.experiment.search_space import read_space
from volbench.report import svg
from volbench.spec import parse
from volbench.tune.summary import StudySummary, TuningSummary, load_summary, number_or_text

PAGE = "tuning.html"
STYLE = Path(svg.__file__).parent / "templates" / "report.css"


def write_page(run: Path) -> Path:
    """Draw what a tuned run found and write it beside the run.

    Raises:
        StateError: it is no tuned run.
    """
    summary = load_summary(run)
    body = [f"<h1>Tuning: {escape(run.name)}</h1>", _words(summary)]
    for number, study in enumerate(summary.studies):
        body.append(f"<h2>{escape(study.title)}</h2>")
        if any(row.auc is not None for row in study.trials):
            body.append('<div class="panels">')
            body += _figures(study, summary, f"t{number}")
            body.append("</div>")
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Tuning: {escape(run.name)}</title><style>{STYLE.read_text(encoding='utf-8')}"
        "</style></head>\n<body><main>" + "\n".join(body) + "</main></body></html>\n"
    )
    write_atomic(run / PAGE, page)
    return run / PAGE


def _words(summary: TuningSummary) -> str:
    space = "".join(
        f"<li><code>{escape(name)}</code> in <code>{escape(text)}</code></li>"
        for name, text in summary.space.items()
    )
    found = summary.found
    reached = "The tuning is not complete."
    if found["outer_auc"] is not None:
        reached = (
            f"Outer AUC {found['outer_auc']:.3f}; inner AUC of the winners "
            f"{found['inner_auc']:.3f}, which the choosing raises and training on fewer cases "
            "lowers."
        )
    if found["selected_on_these_data"]:
        reached += " Selected on these data: the outer AUC is no estimate for new patients."
    return f"<p>{escape(reached)}</p><ul>{space}</ul>"


def _figures(study: StudySummary, summary: TuningSummary, name: str) -> list[str]:
    drawn = [
        (
            "History: inner AUC of each trial, and the best so far",
            svg.figure(
                lambda canvas: _history(canvas, study),
                width=380,
                height=240,
                name=f"{name}h",
                label="inner AUC by trial",
            ),
        )
    ]
    for place, option in enumerate(study.options):
        drawn.append((f"Slice: {option}", _slice_figure(study, summary, option, f"{name}s{place}")))
    if len(study.options) > 1:
        drawn.append(
            (
                "Parallel coordinates: one line per trial, the winner strong",
                svg.figure(
                    lambda canvas: _parallel(canvas, study, summary),
                    width=380,
                    height=260,
                    name=f"{name}p",
                    label="values of each trial",
                ),
            )
        )
    shares = ", ".join(f"{option} {share:.0%}" for option, share in study.importances.items())
    parts = [
        f"<figure><figcaption>{escape(title)}</figcaption>{figure}</figure>"
        for title, figure in drawn
    ]
    return [*parts, f"<p>Importances (fANOVA): {escape(shares)}.</p>"] if shares else parts


def _slice_figure(study: StudySummary, summary: TuningSummary, option: str, name: str) -> Markup:
    return svg.figure(
        lambda canvas: _slice(canvas, study, option, summary.space[option]),
        width=380,
        height=220,
        name=name,
        label=f"inner AUC by {option}",
    )


def _history(canvas: Figure, study: StudySummary) -> None:
    axes = canvas.subplots()
    trials, aucs, best = zip(*study.history(), strict=True)
    known = [(trial, value) for trial, value in zip(trials, best, strict=True) if value > -1]
    axes.step(*zip(*known, strict=True), where="post", color=svg.SECOND) if known else None
    axes.plot(trials, aucs, "o", color=svg.ACCENT, markersize=5)
    axes.set_xlabel("trial")
    axes.set_ylabel("inner AUC")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _slice(canvas: Figure, study: StudySummary, option: str, space: str) -> None:
    axes = canvas.subplots()
    points = study.slice(option)
    axes.plot([p[0] for p in points], [p[1] for p in points], "o", color=svg.ACCENT, markersize=5)
    _mark_best(axes, study, option)
    if _is_log(space):
        axes.set_xscale("log")
        # Plain numbers: powers would be written in mathtext, which the page does not draw.
        axes.xaxis.set_major_formatter(lambda value, place: f"{value:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    bounds = read_space(parse(space))
    if not bounds.among:
        axes.set_xlim(bounds.low, bounds.high)
    axes.set_xlabel(option)
    axes.set_ylabel("inner AUC")


def _mark_best(axes: Axes, study: StudySummary, option: str) -> None:
    for row in study.trials:
        if row.trial == study.best and row.auc is not None:
            value = number_or_text(row.values[option])
            axes.plot([value], [row.auc], "o", color=svg.SECOND, markersize=9, fillstyle="none")


def _scored(study: StudySummary) -> list[object]:
    return [row for row in study.trials if row.auc is not None]


def _parallel(canvas: Figure, study: StudySummary, summary: TuningSummary) -> None:
    axes = canvas.subplots()
    columns = [_scaled(study, option, summary.space[option]) for option in study.options]
    aucs = [auc for _, auc in study.coordinates()]
    columns.append(_unit(np.array(aucs)))
    rows = _scored(study)
    for place, line in enumerate(zip(*columns, strict=True)):
        won = getattr(rows[place], "trial", None) == study.best
        axes.plot(
            range(len(line)),
            line,
            color=svg.SECOND if won else svg.ACCENT,
            linewidth=2.2 if won else 0.8,
            alpha=1.0 if won else 0.6,
        )
    axes.set_xticks(range(len(columns)), [*study.options, "inner AUC"], rotation=15)
    axes.set_yticks([0, 1], ["lowest", "highest"])


def _scaled(study: StudySummary, option: str, space: str) -> Sequence[float]:
    values = [value[option] for value, _ in study.coordinates()]
    if any(isinstance(value, str) for value in values):
        known = sorted({str(value) for value in values})
        return _unit(np.array([known.index(str(value)) for value in values], dtype=float))
    numbers = np.array(values, dtype=float)
    return _unit(np.log(numbers) if _is_log(space) else numbers)


def _unit(values: np.ndarray) -> Sequence[float]:
    span = values.max() - values.min()
    scaled = (values - values.min()) / span if span else np.full(len(values), 0.5)
    return [float(value) for value in scaled]


def _is_log(space: str) -> bool:
    return space.startswith("loguniform") or "log=True" in space
