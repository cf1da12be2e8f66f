"""Results of a tuned run as text: trials, importances, winners, optimism."""

import io
from pathlib import Path
from statistics import fmean

from rich import box
from rich.console import Console
from rich.table import Table

from volbench.tune.summary import StudySummary, TuningSummary, load_summary

WIDTH = 100


def show_tuning(run: Path) -> str:
    """Format the trials, importances and winners as tables.

    Raises:
        StateError: the folder is not a tuned run.
    """
    summary = load_summary(run)
    text = io.StringIO()
    console = Console(file=text, width=WIDTH, highlight=False, soft_wrap=True)
    for study in summary.studies:
        console.print(f"Trials, {study.title}", markup=False)
        console.print(_trials(study))
    if shares := _importances(summary):
        console.print(f"Importances (fANOVA, mean over studies): {shares}\n", markup=False)
    console.print("Winners", markup=False)
    console.print(_winners(summary))
    console.print(_words(summary), markup=False)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def _trials(study: StudySummary) -> Table:
    table = _table("trial", "inner AUC", "folds", *study.options, "")
    for row in study.trials:
        auc = "" if row.auc is None else f"{row.auc:.3f}"
        note = "best" if row.trial == study.best else row.reason or row.state
        note = "" if note == "complete" else note
        values = [row.values.get(name, "") for name in study.options]
        table.add_row(str(row.trial), auc, str(row.folds), *values, note)
    return table


def _winners(summary: TuningSummary) -> Table:
    options = list(summary.space)
    table = _table("outer fold", *options, "inner AUC", "outer AUC", "optimism")
    for row in summary.found["folds"]:
        outer = [_number(row["outer_auc"]), _number(row["optimism"], signed=True)]
        values = [row["values"].get(name, "") for name in options]
        table.add_row(str(row["fold"]), *values, _number(row["inner_auc"]), *outer)
    return table


def _words(summary: TuningSummary) -> str:
    found = summary.found
    lines = []
    if found["outer_auc"] is not None:
        lines.append(
            f"Outer AUC {found['outer_auc']:.3f}, inner AUC of the winners "
            f"{found['inner_auc']:.3f}: optimism {found['optimism']:+.3f}. Choosing raises the "
            "inner AUC; training on fewer cases lowers it."
        )
    if found["selected_on_these_data"]:
        lines.append(
            "SELECTED ON THESE DATA: the winner was chosen with all cases, also those of the outer "
            "folds, so its outer AUC is no estimate for new patients."
        )
    else:
        lines.append(
            "The outer AUC is that of the whole procedure, search included; each fold has its own "
            "winner."
        )
    if found["best"] is not None:
        of = "" if found["selected_on_these_data"] else f" (winner of outer fold {_fold(found)})"
        lines.append(
            f"Best by inner AUC{of}, chosen on these data: run it on others to judge it.\n"
            f"{found['best']['line']}"
        )
    if not found["complete"]:
        lines.append("Incomplete: rerun the same command to resume.")
    return "\n".join(lines)


def _fold(found: object) -> int:
    assert isinstance(found, dict)
    return int(found["best"]["fold"])


def _importances(summary: TuningSummary) -> str:
    known = [study.importances for study in summary.studies if study.importances]
    if not known:
        return ""
    means = {name: fmean(each.get(name, 0.0) for each in known) for name in summary.space}
    ordered = sorted(means.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {share:.0%}" for name, share in ordered)


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for number, name in enumerate(columns):
        last = number == len(columns) - 1 and not name
        table.add_column(name, justify="left" if last else "right", no_wrap=not last)
    return table


def _number(value: float | None, *, signed: bool = False) -> str:
    return "" if value is None else f"{value:+.3f}" if signed else f"{value:.3f}"
