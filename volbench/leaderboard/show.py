"""A leaderboard as text: for a terminal, Markdown, CSV or JSON."""

import json
import math
from collections.abc import Sequence
from functools import partial
from typing import Literal, TypeAlias

import pandas as pd

from volbench.leaderboard.draw import markdown, mean_std, terminal
from volbench.leaderboard.published import Reference
from volbench.leaderboard.runs import LoadedRun
from volbench.leaderboard.table import (
    DDOF,
    components_tell_apart,
    leaderboard,
)
from volbench.metrics import metrics_for

Format: TypeAlias = Literal["table", "md", "csv", "json"]


def show(
    groups: Sequence[Sequence[LoadedRun]],
    style: Format,
    *,
    sort: str,
    reference: Reference | None = None,
    color: bool = False,
) -> str:
    """Show groups of comparable runs, each as its own table; nothing is compared across groups."""
    frames = [leaderboard(runs, sort=sort) for runs in groups]
    if style == "json":
        tables = [_json(frame, runs) for frame, runs in zip(frames, groups, strict=True)]
        if reference is not None:
            for document, runs in zip(tables, groups, strict=True):
                document["reference"] = reference.document(runs)
        return json.dumps({"schema": 1, "ddof": DDOF, "tables": tables}, indent=2) + "\n"
    if style == "csv":
        for frame, runs in zip(frames, groups, strict=True):
            frame["data_digest"], frame["split_digest"] = runs[0].protocol
        if reference is not None:
            frames = [
                reference.joined(frame, runs, ddof=DDOF)
                for frame, runs in zip(frames, groups, strict=True)
            ]
        text: str = pd.concat(frames).map(_harmless).to_csv(index=False, lineterminator="\n")
        return text
    parts = []
    for frame, runs in zip(frames, groups, strict=True):
        table = _cells(frame, runs)
        draw = markdown if style == "md" else partial(terminal, color=color)
        parts.append(draw(_title(runs), table, _notes(runs)))
        if reference is not None:
            parts += [draw(s.title, s.cells, s.notes) for s in reference.sections(runs)]
    if len(groups) > 1:
        parts.append("Tables of other data or other folds cannot be compared with one another.\n")
    return "\n".join(parts)


def _title(runs: Sequence[LoadedRun]) -> str:
    run = runs[0]
    data, split = run.protocol
    folds = run.experiment["folds"]
    return (
        f"{run.data}: {run.cases} cases of {run.patients} patients, "
        f"{folds} fold{'s' if folds > 1 else ''} (data {data[:8]}, split {split[:8]})"
    )


def _cells(frame: pd.DataFrame, runs: Sequence[LoadedRun]) -> dict[str, list[str]]:
    metrics = {name: m for run in runs for name, m in metrics_for(run.classes).items()}
    shown = [m for m in metrics.values() if m.headline and f"{m.name}_mean" in frame]
    cells: dict[str, list[str]] = {}
    if not components_tell_apart(runs):
        cells["run"] = list(frame["run"])
    for column, heading in (("encoder", "encoder"), ("aggregator", "agg"), ("loss", "loss")):
        cells[heading] = list(frame[column])
    cells["folds"] = [
        f"{done}/{total}" for done, total in zip(frame["folds"], frame["folds_total"], strict=True)
    ]
    for metric in shown:
        cells[metric.heading + (" %" if metric.percent else "")] = [
            mean_std(mean, std, percent=metric.percent)
            for mean, std in zip(
                frame[f"{metric.name}_mean"], frame[f"{metric.name}_std"], strict=True
            )
        ]
    cells["M par"] = [_number(value, 1e6, 2) for value in frame["parameters"]]
    cells["s/fold"] = [_number(value, 1, 0) for value in frame["seconds"]]
    cells["GB"] = [_number(value, 1024, 1) for value in frame["peak_memory_mb"]]
    return cells


def _notes(runs: Sequence[LoadedRun]) -> list[str]:
    unit = "slice" if runs[0].experiment["level"] == "slice" else "case"
    notes = [
        f"Mean ± standard deviation over folds (ddof {DDOF}), one score per {unit}; M par: million "
        "parameters; GB: peak memory. "
        "Rows are sorted, not ranked: no row is tested against another here."
    ]
    for run in runs:
        done, total = len(run.predictions), run.experiment["folds"]
        if done < total:
            failed = f", {len(run.failed)} failed" if run.failed else ""
            notes.append(
                f"Incomplete: {run.name} has {done} of {total} folds{failed}; "
                "its means are over those only."
            )
        notes += [f"Failed: {run.name} fold {r.fold}: {r.error}" for r in run.failed]
    machines = {(run.environment["device"], run.environment["precision"]) for run in runs}
    if len(machines) > 1:
        notes.append("Seconds and memory were taken on different machines: do not compare them.")
    return notes


def _json(frame: pd.DataFrame, runs: Sequence[LoadedRun]) -> dict[str, object]:
    data, split = runs[0].protocol
    rows = json.loads(frame.to_json(orient="records", double_precision=15))
    return {
        "data": runs[0].data,
        "cases": runs[0].cases,
        "patients": runs[0].patients,
        "data_digest": data,
        "split_digest": split,
        "unit": "slice" if runs[0].experiment["level"] == "slice" else "case",
        "rows": rows,
    }


def _harmless(value: object) -> object:
    """A cell that a spreadsheet would take for a formula gets an apostrophe before it."""
    is_formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@"))
    return f"'{value}" if is_formula else value


def _number(value: float | None, unit: float, digits: int) -> str:
    return "" if value is None or math.isnan(value) else f"{value / unit:.{digits}f}"
