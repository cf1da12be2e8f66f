"""Encoding of manifest columns as model input: numeric or categorical."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from jaxtyping import Float

MISSING = frozenset({"", "-", "?", "na", "n/a", "nan", "none", "null", "unknown"})
"""What people write for a value that they do not have, in lower case."""

NUMBERS_FROM = 0.9
"""Share of numbers from which on a column is a measurement, and its odd words are gaps."""


@dataclass(frozen=True, eq=False)
class Column:
    """One value per case.

    Attributes:
        numbers: NaN where missing; None for a column of words.
        levels: The words, empty where missing; None for a column of numbers.
    """

    name: str
    numbers: Float[np.ndarray, " case"] | None = None
    levels: tuple[str, ...] | None = None

    @property
    def values(self) -> int:
        """How many different values it has, a gap counting as one."""
        if self.levels is not None:
            return len(set(self.levels))
        assert self.numbers is not None
        return len(np.unique(self.numbers))


def number_column(name: str, values: Sequence[float | None]) -> Column:
    """Build a column of numbers; None is a gap."""
    filled = [math.nan if value is None else value for value in values]
    return Column(name, numbers=np.array(filled, dtype=np.float64))


def text_column(name: str, cells: Sequence[str]) -> Column:
    """Understand the cells of a table: a measurement, dates, or words.

    >>> text_column("age", ["61", "", "58.5"]).numbers
    array([61. ,  nan, 58.5])
    >>> text_column("site", ["a", "NA", "b"]).levels
    ('a', '', 'b')
    """
    known = [cell for cell in cells if not _is_missing(cell)]
    numbers = [_number(cell) for cell in known]
    if known and sum(number is not None for number in numbers) >= NUMBERS_FROM * len(known):
        return number_column(name, [_number(cell) for cell in cells])
    return Column(name, levels=tuple("" if _is_missing(cell) else cell for cell in cells))


def is_identifier(cells: Sequence[str], patients: Sequence[str]) -> bool:
    """Whether a column names patients: a value of its own for nearly each of them.

    Measurements with a decimal point differ from case to case too, and name nobody.
    """
    owner: dict[str, str] = {}
    for cell, patient in zip(cells, patients, strict=True):
        if _is_missing(cell):
            continue
        number = _number(cell)
        if (number is not None and not number.is_integer()) or owner.setdefault(
            cell, patient
        ) != patient:
            return False
    return len(owner) >= max(3, NUMBERS_FROM * len(set(patients)))


def _is_missing(cell: str) -> bool:
    return cell.strip().lower() in MISSING


def _number(cell: str) -> float | None:
    """Read a number, or a date such as 2021-03-04 as its number of days."""
    try:
        number = float(cell)
    except ValueError:
        try:
            return float(date.fromisoformat(cell.strip()[:10]).toordinal())
        except ValueError:
            return None
    return number if math.isfinite(number) else None
