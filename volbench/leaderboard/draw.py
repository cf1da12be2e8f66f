"""A table of ready text, drawn for a terminal or as Markdown."""

import io
import math
from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

WIDTH = 100
WORDS = ("run", "encoder", "agg", "loss", "method")
"""Columns of text; the others are numbers and stand right."""

Cells = Mapping[str, Sequence[str]]
"""Columns by heading; a heading may have several lines."""


def terminal(title: str, cells: Cells, notes: Sequence[str], *, color: bool = False) -> str:
    """Draw a table at most ``WIDTH`` columns wide, its title above and its notes below."""
    text = io.StringIO()
    console = Console(file=text, width=WIDTH, force_terminal=color, highlight=False)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in cells:
        if name in WORDS:  # long specs are folded so that numbers are not
            table.add_column(name, overflow="fold")
        else:
            heading = name.replace("recall ", "recall\n")
            table.add_column(heading, justify="right", no_wrap=True)
    if "loss" in cells:  # a line may break beside the plus of a sum, not in the middle of a name
        cells = {**cells, "loss": [sum_.replace("+", " + ") for sum_ in cells["loss"]]}
    for row in zip(*cells.values(), strict=True):
        table.add_row(*row)
    console.print(title, style="bold", markup=False)
    if cells:
        console.print(table)
    for note in notes:
        console.print(note, style="dim", markup=False)
    return text.getvalue()


def markdown(title: str, cells: Cells, notes: Sequence[str]) -> str:
    """Write a table as Markdown."""

    def line(values: Sequence[str]) -> str:
        return "| " + " | ".join(value.replace("|", "\\|") for value in values) + " |"

    table = []
    if cells:
        rule = ["---" if name in WORDS else "--:" for name in cells]
        heading = [name.replace("\n", " ") for name in cells]
        table = [line(heading), line(rule), *map(line, zip(*cells.values(), strict=True)), ""]
    return "\n".join([f"**{title}**", "", *table, *notes]) + "\n"


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
