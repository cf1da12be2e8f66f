"""Results of a tuned run as text: trials, importances, winners, optimism."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from volbench._utils.text_table import Column, output_width, paragraph
from volbench.cli.output import table_text
from volbench.tune.summary import StudySummary, TuningSummary, load_summary


def show_tuning(run: Path) -> str:
    """Format the trials, importances and winners as tables.

    Raises:
        StateError: the folder is not a tuned run.
    """
    summary, width = load_summary(run), output_width()
    parts = []
    for study in summary.studies:
        parts.append(f"Trials, {study.title}\n{_trials(study)}")
    if shares := _importances(summary):
        told = paragraph(f"Importances (fANOVA, mean over studies): {shares}", width)
        parts.append("\n".join(told) + "\n")
    parts.append(f"Winners\n{_winners(summary)}")
    words = [text for line in _words(summary) for text in _wrapped(line, width)]
    return "\n".join([*parts, *words]) + "\n"


def _trials(study: StudySummary) -> str:
    rows = []
    for row in study.trials:
        auc = "" if row.auc is None else f"{row.auc:.3f}"
        note = "best" if row.trial == study.best else row.reason or row.state
        note = "" if note == "complete" else note
        values = [row.values.get(name, "") for name in study.options]
        rows.append([str(row.trial), auc, str(row.folds), *values, note])
    return _table(["trial", "inner AUC", "folds", *study.options, "note"], rows)


def _winners(summary: TuningSummary) -> str:
    options, rows = list(summary.space), []
    for row in summary.found["folds"]:
        outer = [_number(row["outer_auc"]), _number(row["optimism"], signed=True)]
        values = [row["values"].get(name, "") for name in options]
        rows.append([str(row["fold"]), *values, _number(row["inner_auc"]), *outer])
    return _table(["outer fold", *options, "inner AUC", "outer AUC", "optimism"], rows)


def _wrapped(line: str, width: int) -> list[str]:
    """Prose as wide as the output; a command stays one line, to be copied."""
    return [line] if line.startswith("volbench ") else paragraph(line, width)


def _words(summary: TuningSummary) -> list[str]:
    found = summary.found
    lines: list[str] = []
    if found["outer_auc"] is not None:
        lines.append(
            f"Outer AUC {found['outer_auc']:.3f}, inner AUC of the winners "
            f"{found['inner_auc']:.3f}: optimism {found['optimism']:+z.3f}. Choosing raises the "
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
        lines.append(f"Best by inner AUC{of}, chosen on these data: run it on others to judge it.")
        lines.append(str(found["best"]["line"]))
    if not found["complete"]:
        lines.append("Incomplete: rerun the same command to resume.")
    return lines


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


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    columns: Sequence[Sequence[str]] = list(zip(*rows, strict=True)) or [()] * len(heads)
    return table_text(
        [
            Column(head, cells, "text" if head == "note" else "number", lead=place == 0)
            for place, (head, cells) in enumerate(zip(heads, columns, strict=True))
        ]
    )


def _number(value: float | None, *, signed: bool = False) -> str:
    return "" if value is None else f"{value:+z.3f}" if signed else f"{value:.3f}"
