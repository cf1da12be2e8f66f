"""Spreadsheets as they are kept: CSV with commas, semicolons or tabs, and Excel files."""

import csv
import io
import re
from datetime import date, datetime
from pathlib import Path

from volbench._utils.regular_file import read_regular
from volbench._utils.text import nothing_there
from volbench.datasets.table import Table, read_table, table_of
from volbench.errors import DataError, UsageError

INSTALL = "pip install 'volbench[excel]'"
NUMBER = re.compile(r"[-+]?\d+(?:,\d+)?")
THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(?:,\d{3})+")


def read_spreadsheet(path: Path, sheet: str | None = None) -> Table:
    """Read a spreadsheet as text: no cell is taken for a number or for missing.

    Args:
        path: A CSV file in UTF-8, whose first line tells its separator, or an ``.xlsx`` file.
            Where semicolons or tabs separate, decimal commas become points.
        sheet: Name of the sheet of an Excel file; needed if it has several.

    Raises:
        UsageError: the sheet is not there, or openpyxl is needed and not installed.
        DataError: the file cannot be read, or its rows and columns make no table.
    """
    if path.suffix.lower() in (".xlsx", ".xlsm"):
        table = _read_excel(path, sheet)
    elif sheet is not None:
        raise UsageError(f"--sheet {sheet}: {path} is no Excel file; leave it out")
    else:
        table = _read_separated(path)
    if table.problems:
        more = len(table.problems) - 1
        raise DataError(f"{path}: {table.problems[0]}" + (f" (and {more} more)" if more else ""))
    return table


def _read_separated(path: Path) -> Table:
    table = read_table(path)
    if table.rows or not table.problems:
        return table
    try:
        text = read_regular(path).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return table
    header = text.partition("\n")[0]
    separator = next((one for one in (";", "\t") if one in header and "," not in header), None)
    if separator is None:
        return table
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        lines = [
            (reader.line_num, [cell.strip() for cell in cells])
            for cells in reader
            if any(cell.strip() for cell in cells)
        ]
    except csv.Error as error:
        return Table(problems=(f"line {reader.line_num}: not CSV ({error}); check its quotes",))
    return table_of(_with_points(lines), [])


def _with_points(lines: list[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
    """Write columns of numbers with decimal commas with points, so that they are numbers.

    A column whose commas may all separate thousands is left as it is.
    """
    if not lines:
        return lines
    (_, header), *body = lines
    found = {
        column
        for column in range(len(header))
        if _has_decimal_commas([cells[column] for _, cells in body if len(cells) > column])
    }
    return [
        lines[0],
        *(
            (line, [cell.replace(",", ".") if n in found else cell for n, cell in enumerate(cells)])
            for line, cells in body
        ),
    ]


def _has_decimal_commas(cells: list[str]) -> bool:
    filled = [cell for cell in cells if cell]
    numbers = all(NUMBER.fullmatch(cell) for cell in filled)
    return numbers and any("," in cell and not THOUSANDS.fullmatch(cell) for cell in filled)


def _read_excel(path: Path, sheet: str | None) -> Table:
    try:
        import openpyxl
    except ImportError:
        raise UsageError(
            f"{path}: Excel files need openpyxl; install it: {INSTALL}, or save the sheet as CSV"
        ) from None
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except FileNotFoundError:
        return Table(problems=(nothing_there(path),))
    except Exception as error:  # a damaged archive may end in any of a dozen errors
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return Table(problems=(f"not an Excel file ({reason}); save it again, or as CSV",))
    try:
        names = book.sheetnames
        if sheet is None and len(names) > 1:
            raise UsageError(f"{path}: it has the sheets {', '.join(names)}; choose one by --sheet")
        if sheet is not None and sheet not in names:
            raise UsageError(f"--sheet {sheet}: {path} has {', '.join(names)}")
        rows = book[sheet or names[0]].iter_rows(values_only=True)
        lines = [
            (number, [_text(value) for value in values])
            for number, values in enumerate(rows, start=1)
            if any(value is not None for value in values)
        ]
    finally:
        book.close()
    width = max((_width(cells) for _, cells in lines), default=0)
    return table_of([(number, cells[:width]) for number, cells in lines], [])


def _width(cells: list[str]) -> int:
    """Cells up to the last one that holds something: formatted columns beyond it do not count."""
    return max((place for place, cell in enumerate(cells, start=1) if cell), default=0)


def _text(value: object) -> str:
    """A cell as its reader sees it: 7 and not 7.0, a day without its midnight."""
    if value is None:
        return ""
    if isinstance(value, datetime) and not (value.hour or value.minute or value.second):
        value = value.date()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()
