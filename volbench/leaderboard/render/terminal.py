"""Tables for a terminal or as Markdown."""

import math
from collections.abc import Mapping, Sequence
from functools import cache

from volbench._utils.text_table import (
    BOLD,
    DIM,
    OFF,
    Column,
    Kind,
    draw_table,
    output_width,
    paragraph,
)
from volbench.experiment.setting_differences import heading, recipe_keys

WORDS = ("run", "encoder", "agg", "loss", "method", "against", "features", "note", "finding")
"""Columns of text, whose lines may be broken; they lead each table and each part of it."""
LEFT = ("group", "model", "verdict", "true")
"""Columns of a word, which is not broken; all others are numbers and stand right."""
LEADING = (*WORDS[:-1], "group", "model", "true")
SPARE = {"P\n(same)": 5, "DeLong\np": 4, "GB": 3, "s/fold": 2, "M par": 1}
"""What a narrow terminal does not show; the largest number goes first."""

Cells = Mapping[str, Sequence[str]]
"""Columns by heading; a heading may have several lines."""


def terminal(
    title: str,
    cells: Cells,
    notes: Sequence[str],
    *,
    color: bool = False,
    width: int | None = None,
) -> str:
    """Draw a table, its title above and its notes below, within the width of the output.

    What is too wide leaves out its cost, or continues in another table beneath, with the same
    leading columns.
    """
    width = width or output_width()
    columns = [_column(name, texts) for name, texts in cells.items()]
    drawn, left_out = draw_table(columns, width - 1, color=color)
    lines = [_styled(line, BOLD, color=color) for line in paragraph(title, width)]
    if columns:
        lines += ["", *(f" {line}".rstrip() for line in drawn.split("\n"))]
    if left_out:
        notes = [
            *notes,
            f"Left out at {width} columns: {left_out}; a wider terminal and --format csv have "
            "them.",
        ]
    if columns and notes:
        lines.append("")
    lines += [_styled(line, DIM, color=color) for note in notes for line in paragraph(note, width)]
    return "\n".join(lines) + "\n"


def kind_of(name: str) -> Kind:
    """Whether a column is text, words or numbers, by its heading."""
    if name in WORDS or name in _settings():
        return "text"
    return "word" if name in LEFT else "number"


@cache
def _settings() -> frozenset[str]:
    return frozenset((*map(heading, recipe_keys()), *("recipe", "precision", "seed", "tuned")))


def _column(name: str, texts: Sequence[str]) -> Column:
    shown = name.replace("recall ", "recall\n").replace("AUC per", "AUC\nper")
    lead = name in LEADING or name in _settings()
    return Column(shown, texts, kind_of(name), lead, SPARE.get(name, 0))


def _styled(line: str, style: str, *, color: bool) -> str:
    return f"{style}{line}{OFF}" if color and line else line


def markdown(title: str, cells: Cells, notes: Sequence[str]) -> str:
    """Write a table as Markdown."""

    def line(values: Sequence[str]) -> str:
        return "| " + " | ".join(map(_markdown_cell, values)) + " |"

    table = []
    if cells:
        rule = ["--:" if kind_of(name) == "number" else "---" for name in cells]
        heading = [name.replace("\n", " ") for name in cells]
        table = [line(heading), line(rule), *map(line, zip(*cells.values(), strict=True)), ""]
    return "\n".join([f"**{_no_html(title)}**", "", *table, *map(_no_html, notes)]) + "\n"


def _markdown_cell(text: str) -> str:
    """Keep a cell in its line and its column, and its text free of HTML."""
    return _no_html(text).replace("|", "\\|")


def _no_html(text: str) -> str:
    for sign, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, escaped)
    return " ".join(text.split())


def mean_std(mean: float, std: float, *, percent: bool) -> str:
    """Show a mean with its standard deviation, which is left out where it is not a number.

    >>> mean_std(0.815, 0.057, percent=False), mean_std(0.773, 0.044, percent=True)
    ('0.815±.057', '77.3±4.4')
    """
    if math.isnan(mean):
        return "undefined"
    scale, digits = (100, 1) if percent else (1, 3)
    spread = "" if math.isnan(std) else f"±{std * scale:.{digits}f}"
    if not percent:
        spread = spread.replace("±0.", "±.")
    return f"{mean * scale:.{digits}f}{spread}"
