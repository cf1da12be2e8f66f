"""Comparisons as text: for a terminal, Markdown, LaTeX, HTML, CSV or JSON."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import get_args

from volbench._utils.output_formats import SUFFIXES, Format
from volbench.errors import UsageError
from volbench.leaderboard.published.base import Reference, TextTable
from volbench.leaderboard.render.csv import to_csv
from volbench.leaderboard.render.html import page
from volbench.leaderboard.render.json import SCHEMA, to_json
from volbench.leaderboard.render.latex import PREAMBLE, latex
from volbench.leaderboard.render.layout import sections
from volbench.leaderboard.render.per_class import class_sections
from volbench.leaderboard.render.strata import stratum_sections
from volbench.leaderboard.render.terminal import markdown, terminal
from volbench.leaderboard.statistics.comparison import Comparison
from volbench.leaderboard.statistics.strata import ByStratum

SEPARATE = "Tables of other data or other folds cannot be compared with one another."


def show(
    found: Sequence[Comparison],
    style: Format = "table",
    *,
    metrics: Sequence[str] | None = None,
    all_pairs: bool = False,
    strata: Sequence[Sequence[ByStratum]] | None = None,
    reference: Reference | None = None,
    color: bool = False,
    per_class: bool = False,
) -> str:
    """Show comparisons, each in tables of its own; nothing is compared across them.

    Args:
        found: From :func:`volbench.leaderboard.compare_runs`.
        style: How it is written. JSON and CSV always hold every metric and every pair.
        metrics: Names of the metrics to show; None means the headline ones.
        all_pairs: Show every pair, not only those with the reference row.
        strata: Of each comparison, the result of ``leaderboard.statistics.strata.by_stratum``.
        reference: Published results to stand beside.
        color: With the colours of a terminal.
        per_class: With confusions, recall and AUC of each class; JSON always has them.
    """
    strata = strata or [()] * len(found)
    if style == "json":
        tables = []
        for comparison, by in zip(found, strata, strict=True):
            values = to_json(comparison, by)
            if reference is not None:
                values["reference"] = reference.document(comparison.runs)
            tables.append(values)
        whole = {"schema": SCHEMA, "ddof": found[0].ddof, "tables": tables}
        return json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if style == "csv":
        return to_csv(found, strata, reference=reference)
    parts: list[TextTable] = []
    for comparison, by in zip(found, strata, strict=True):
        parts += sections(
            comparison, metrics=metrics, all_pairs=all_pairs, stacked=style == "table"
        )
        if per_class:
            parts += class_sections(comparison)
        parts += stratum_sections(comparison, by)
        if reference is not None:
            parts += reference.sections(comparison.runs)
    if style == "html":
        return page([*parts, *([TextTable(SEPARATE, {}, ())] if len(found) > 1 else [])])
    if style == "latex":
        return PREAMBLE + "\n".join(latex(part.title, part.cells, part.notes) for part in parts)
    draw = markdown if style == "md" else partial(terminal, color=color)
    texts = [draw(part.title, part.cells, part.notes) for part in parts]
    return "\n".join([*texts, *([f"{SEPARATE}\n"] if len(found) > 1 else [])])


def style_of(path: Path | None, given: Format | None) -> Format:
    """The format that was asked for, else that of the file's suffix, else a table.

    Raises:
        UsageError: the suffix is of no known format.
    """
    if given is not None or path is None:
        return given or "table"
    if path.suffix.lower() not in SUFFIXES:
        formats = ", ".join(get_args(Format))
        raise UsageError(
            f"--output {path}: its suffix tells no format; end it in {', '.join(SUFFIXES)}, or say "
            f"--format {formats.replace(', ', '|')}"
        )
    return SUFFIXES[path.suffix.lower()]
