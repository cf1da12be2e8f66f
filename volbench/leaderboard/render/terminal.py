"""Tables for a terminal or as Markdown."""

import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

WIDTH = 100
WORDS = ("run", "encoder", "agg", "loss", "method", "against", "features", "note")
"""Columns of text, whose lines may be broken; they lead each table and each part of it."""
LEFT = ("group", "model", "verdict")
"""Columns of a word, which is not broken; all others are numbers and stand right."""
LEADING = (*WORDS, "folds", "group", "model")
NARROWEST, WORD, HEADING = 12, 14, 12
"""Columns of the terminal for a text, for a word that is not broken, for a line of a heading."""

Cells = Mapping[str, Sequence[str]]
"""Columns by heading; a heading may have several lines."""


def terminal(title: str, cells: Cells, notes: Sequence[str], *, color: bool = False) -> str:
    """Draw a table at most ``WIDTH`` columns wide, its title above and its notes below.

    What is too wide for one table continues in another one beneath, with the same leading columns.
    """
    text = io.StringIO()
    console = Console(file=text, width=WIDTH, force_terminal=color, highlight=False)
    if "loss" in cells:  # a line may break beside the plus of a sum, not in the middle of a name
        cells = {**cells, "loss": [sum_.replace("+", " + ") for sum_ in cells["loss"]]}
    console.print(title, style="bold", markup=False)
    for part, gap in _parts(cells):
        table = Table(
            box=box.SIMPLE_HEAD, padding=(0, gap - 1, 0, 0), pad_edge=False, show_edge=False
        )
        for name, texts in part.items():
            if name in WORDS:  # long specs are folded so that numbers are not
                narrowest = _width(name, texts)
                table.add_column(_heading(name), overflow="fold", min_width=narrowest)
            else:
                side: Literal["left", "right"] = "left" if name in LEFT else "right"
                table.add_column(_heading(name), justify=side, no_wrap=True)
        for row in zip(*part.values(), strict=True):
            table.add_row(*(Text(cell) for cell in row))
        console.print()
        console.print(Padding(table, (0, 0, 0, 1)))
    if cells and notes:
        console.print()
    for note in notes:
        console.print(note, style="dim", markup=False)
    return "\n".join(line.rstrip() for line in text.getvalue().split("\n"))


def _parts(cells: Cells) -> list[tuple[Cells, int]]:
    """Divide columns so that each part fits, and say how many blanks stand between them."""
    widths = {name: _width(name, texts) for name, texts in cells.items()}
    if not cells:
        return []
    for gap in (2, 1):
        if sum(widths.values()) + gap * (len(cells) - 1) <= WIDTH - 1:
            return [(cells, gap)]
    leading = [name for name in cells if name in LEADING]
    room = WIDTH - 1 - sum(widths[name] + 2 for name in leading)
    parts: list[list[str]] = [[]]
    for name in cells:
        if name in leading:
            continue
        if parts[-1] and sum(widths[each] + 2 for each in [*parts[-1], name]) > room:
            parts.append([])
        parts[-1].append(name)
    return [
        ({name: cells[name] for name in cells if name in leading or name in part}, 2)
        for part in parts
    ]


def _width(name: str, texts: Sequence[str]) -> int:
    """Columns that it needs; a text can be broken, if not below a few."""
    lines = [line for text in (_heading(name), *texts) for line in text.split("\n")]
    longest = max(map(cell_len, lines))
    if name not in WORDS:
        return longest
    word = max(cell_len(word) for line in lines for word in line.split() or [""])
    return max(min(longest, NARROWEST), min(word, WORD))


def _heading(name: str) -> str:
    lines = name.replace("recall ", "recall\n").replace("AUC per", "AUC\nper").split("\n")
    return "\n".join(textwrap.fill(line, HEADING) for line in lines)


def markdown(title: str, cells: Cells, notes: Sequence[str]) -> str:
    """Write a table as Markdown."""

    def line(values: Sequence[str]) -> str:
        return "| " + " | ".join(map(_markdown_cell, values)) + " |"

    table = []
    if cells:
        rule = ["---" if name in (*WORDS, *LEFT) else "--:" for name in cells]
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
