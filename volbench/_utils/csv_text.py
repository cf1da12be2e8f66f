"""CSV that reads back as it was written, whatever its cells hold, and that no spreadsheet computes.

A cell that a spreadsheet would take for a formula gets an apostrophe before it, which reading takes
away again. Cells with a carriage return are quoted, which Python's own writer forgets.
"""

import csv
import io
from collections.abc import Iterable, Sequence

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a spreadsheet takes for the start of a formula, full-width signs included."""


def harmless(value: object) -> object:
    """A cell that a spreadsheet would take for a formula gets an apostrophe before it.

    >>> harmless("=1+1"), harmless("rmc5"), harmless(-0.5), harmless("-3")
    ("'=1+1", 'rmc5', -0.5, '-3')
    """
    return f"'{value}" if isinstance(value, str) and _is_formula(value.lstrip(" ")) else value


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    r"""Write rows, the first of them the header.

    >>> csv_text([["case"], ["=1"]])
    "case\n'=1\n"
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")  # so that either character is quoted
    lines = []
    for row in rows:
        writer.writerow([_guarded(cell) for cell in row])
        lines.append(text.getvalue().removesuffix("\r\n"))
        text.seek(0)
        text.truncate()
    return "".join(f"{line}\n" for line in lines)


def csv_lines(text: str) -> list[list[str]]:
    """Read what `csv_text` wrote, line by line.

    Raises:
        ValueError: the text is no CSV.
    """
    try:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        return [[_bare(cell) for cell in line] for line in reader]
    except csv.Error as error:
        raise ValueError(str(error)) from None


def csv_records(text: str) -> list[dict[str, str]]:
    r"""Read what `csv_text` wrote, each row by the header's names.

    Raises:
        ValueError: the text is no CSV, or a row has more or fewer cells than the header.

    >>> csv_records("case,fold\n'=1,0\n")
    [{'case': '=1', 'fold': '0'}]
    """
    lines = csv_lines(text)
    header = lines[0] if lines else []
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(header):
            raise ValueError(f"row {number} has {len(line)} cells, not {len(header)}")
    return [dict(zip(header, line, strict=True)) for line in lines[1:]]


def _guarded(cell: object) -> object:
    """Beside a formula, one that only an apostrophe keeps from being one: else it would lose it."""
    if not isinstance(cell, str):
        return cell
    return f"'{cell}" if _is_formula(cell.lstrip("' ")) else cell


def _bare(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _is_formula(cell.lstrip("' ")) else cell


def _is_formula(text: str) -> bool:
    if not text.startswith(FORMULA):
        return False
    try:
        float(text)
    except ValueError:
        return True
    return text != text.strip()
