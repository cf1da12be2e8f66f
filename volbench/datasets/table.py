"""CSV files read as text: no type inference, so NA stays NA and 01 stays 01."""

import csv
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from volbench._utils.regular_file import read_regular
from volbench._utils.text import nothing_there, printable

SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True)
class ManifestRow:
    """One row: the line it ends on, and its cells by column."""

    line: int
    cells: dict[str, str]


@dataclass(frozen=True)
class Table:
    """What could be read, and what could not."""

    columns: tuple[str, ...] = ()
    rows: tuple[ManifestRow, ...] = ()
    problems: tuple[str, ...] = ()


def read_table(path: Path) -> Table:
    """Read a comma-separated UTF-8 file (a byte-order mark is fine); collect what is wrong."""
    try:
        text = read_regular(path).decode("utf-8-sig")
    except FileNotFoundError:
        return Table(problems=(nothing_there(path),))
    except UnicodeDecodeError as error:
        return Table(problems=(f"not UTF-8 at byte {error.start}; save it as CSV in UTF-8",))
    except OSError as error:
        return Table(problems=(f"cannot be read ({error.strerror or error})",))
    if "\0" in text:
        return Table(problems=("not a text file; save it as CSV in UTF-8",))
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    lines: list[tuple[int, list[str]]] = []
    problems = []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                lines.append((reader.line_num, [cell.strip() for cell in cells]))
    except csv.Error as error:
        problems.append(f"line {reader.line_num}: not CSV ({error}); check its quotes")
    return table_of(lines, problems)


def table_of(lines: list[tuple[int, list[str]]], problems: list[str]) -> Table:
    """Check numbered lines of cells, the first of them the names of the columns."""
    if not lines:
        return Table(problems=tuple(problems) or ("empty; its first line names the columns",))
    (_, columns), *body = lines
    if len(columns) == 1:
        for separator, name in SEPARATORS.items():
            if separator in columns[0]:
                problems.append(f"separated by {name}; save it with commas")
                return Table(problems=tuple(problems))
    problems += [
        f"line {line}: the cell '{printable(cell)}' holds a control character; write it without"
        for line, cells in lines
        for cell in cells
        if cell != printable(cell)
    ]
    for column, times in Counter(columns).items():
        if not column:
            problems.append("has a column without a name; name it or remove it")
        elif times > 1:
            problems.append(f"has the column {column!r} {times} times; keep one")
    if not body and not problems:
        problems.append("has no rows below its first line; add one per case")
    rows = []
    for line, cells in body:
        if len(cells) == len(columns):
            rows.append(ManifestRow(line, dict(zip(columns, cells, strict=True))))
        else:
            problems.append(
                f"line {line}: {len(cells)} cells where the first line has {len(columns)}; "
                "quote a cell that holds a comma"
            )
    return Table(tuple(columns), tuple(rows), tuple(problems))
