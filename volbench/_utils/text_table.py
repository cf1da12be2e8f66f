"""Tables of plain text that fit a width: cells are folded between words, never within one.

What does not fit is, in this order: folded, left out where a column says that it can be spared, or
continued in another table beneath that begins with the same leading columns.
"""

import os
import re
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from volbench._utils.text import printable

Kind: TypeAlias = Literal["text", "word", "number"]

WIDTH = 100
"""Where the output has no width of its own: in a pipe or a file."""
NARROWEST = 40
SHORTEST, HEADING = 12, 12
"""A text is not folded below the first; a heading has lines no longer than the second."""
BREAK = re.compile(r"(?<=[,+/=;|(\[])(?=\S)|(?<=[A-Za-z]-)(?=[A-Za-z])")
"""Where a word without blanks may be folded: behind signs, never within a name."""
MOST = 0.4
"""Share of the width that leading columns may take where a table is continued."""
BOLD, DIM, OFF = "\x1b[1m", "\x1b[2m", "\x1b[0m"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        heading: May have several lines, as cells may.
        kind: ``text`` may be folded; ``word`` may not and stands left, ``number`` stands right.
        lead: Whether each part of a table that is continued begins with it.
        spare: What may be left out for lack of room; the largest number goes first, 0 never.
    """

    heading: str
    cells: Sequence[str]
    kind: Kind = "text"
    lead: bool = False
    spare: int = 0


@dataclass(frozen=True)
class Part:
    """Columns that stand side by side, with the width of each and the blanks between them."""

    columns: Sequence[Column]
    widths: Sequence[int]
    gap: int


def is_narrow() -> bool:
    """Whether the output has a width: it is a terminal, or COLUMNS says so."""
    return sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()


def output_width() -> int:
    """Columns that the output has: COLUMNS, else those of the terminal, else 100."""
    if given := _columns():
        return max(given, NARROWEST)
    if sys.stdout.isatty():
        return max(shutil.get_terminal_size((WIDTH, 24)).columns, NARROWEST)
    return WIDTH


def draw_table(columns: Sequence[Column], width: int, *, color: bool = False) -> tuple[str, str]:
    """Draw a table no wider than ``width``, and say which columns were left out.

    >>> text, left_out = draw_table([Column("name", ["a b"]), Column("n", ["12"], "number")], 40)
    >>> print(text)
    name   n
    ────────
    a b   12
    """
    safe = [
        replace(each, cells=[printable(text, keep="\n") for text in each.cells]) for each in columns
    ]
    parts, left_out = layout(safe, width)
    drawn = "\n\n".join(_drawn(part, color=color) for part in parts)
    return drawn, ", ".join(" ".join(each.heading.split()) for each in left_out)


def layout(columns: Sequence[Column], width: int) -> tuple[list[Part], list[Column]]:
    """Divide columns into parts that fit a width; also the columns that were left out."""
    if not columns:
        return [], []
    folded = [replace(each, heading=_heading(each)) for each in columns]
    kept = list(range(len(columns)))
    while not (fits := _fitted([folded[n] for n in kept], width)):
        spare = [n for n in kept if columns[n].spare]
        if not spare:
            return _continued(folded, width), []
        kept.remove(max(spare, key=lambda n: columns[n].spare))
    return [fits], [column for n, column in enumerate(columns) if n not in kept]


def fold(text: str, width: int) -> list[str]:
    """Fold a text at blanks, else behind signs; a longer word than ``width`` is cut.

    >>> fold("timm(name='resnet18', pretrained=False)", 20)
    ['timm(name=', "'resnet18',", 'pretrained=False)']
    """
    lines: list[str] = []
    for line in text.split("\n"):
        now = ""
        for number, word in enumerate(line.split(" ")):
            joined = f"{now} {word}" if number else word
            if cells(joined) <= width:
                now = joined
                continue
            if number and cells(word) <= width:
                lines.append(now)
                now = word
                continue
            if now:
                lines.append(now)
            now = ""
            for piece in _pieces(word, width):
                if now and cells(now + piece) > width:
                    lines.append(now)
                    now = ""
                now += piece
        lines.append(now)
    return lines


def paragraph(text: str, width: int) -> list[str]:
    """Lines of prose, broken at blanks only: a longer word stands in a line of its own.

    >>> paragraph("no difference shown", 13)
    ['no difference', 'shown']
    """
    return [
        part
        for line in printable(text, keep="\n").split("\n")
        for part in textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False)
        or [""]
    ]


def stderr_width() -> int | None:
    """Columns of the terminal behind stderr, COLUMNS first; None where it is none."""
    if not sys.stderr.isatty():
        return None
    if given := _columns():
        return given
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError):
        return WIDTH


def _columns() -> int:
    """What COLUMNS says; 0 where it says nothing."""
    given = os.environ.get("COLUMNS", "")
    return int(given) if given.isdigit() else 0


def cells(text: str) -> int:
    """Columns of a terminal that a text takes.

    >>> cells("AUC ±"), cells("層")
    (5, 2)
    """
    if text.isascii():
        return len(text)
    return sum(_cells(sign) for sign in text)


def _cells(sign: str) -> int:
    if unicodedata.combining(sign) or unicodedata.category(sign) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1


def _pieces(word: str, width: int) -> list[str]:
    found = []
    for piece in BREAK.split(word):
        while cells(piece) > width:
            end = next(n for n in range(len(piece), 0, -1) if cells(piece[:n]) <= width or n == 1)
            found.append(piece[:end])
            piece = piece[end:]
        found.append(piece)
    return found


def _heading(column: Column) -> str:
    width = max(HEADING, *(_longest(word) for word in ("", *column.heading.split())))
    return "\n".join(line for one in column.heading.split("\n") for line in fold(one, width))


def _longest(word: str) -> int:
    """Width of the longest piece of a word that cannot be folded."""
    return max(map(cells, BREAK.split(word)))


def _ideal(column: Column) -> int:
    return max(cells(line) for text in (column.heading, *column.cells) for line in text.split("\n"))


def _least(column: Column) -> int:
    """How narrow it may become: a text is folded at blanks and signs, anything else is not."""
    ideal = _ideal(column)
    if column.kind != "text":
        return ideal
    words = (word for text in (column.heading, *column.cells) for word in text.split())
    return min(ideal, max(SHORTEST, *map(_longest, ("", *words))))


def _fitted(columns: Sequence[Column], width: int) -> Part | None:
    """All columns side by side; texts share what room there is beyond the least."""
    least = [_least(each) for each in columns]
    for gap in (2, 1):
        room = width - gap * (len(columns) - 1) - sum(least)
        if room >= 0:
            return Part(columns, _shared(columns, least, room), gap)
    return None


def _shared(columns: Sequence[Column], least: Sequence[int], room: int) -> list[int]:
    widths, ideal = list(least), [_ideal(each) for each in columns]
    while room:
        short = [n for n in range(len(widths)) if widths[n] < ideal[n]]
        if not short:
            break
        narrowest = max(short, key=lambda n: ideal[n] / widths[n])
        widths[narrowest] += 1
        room -= 1
    return widths


def _continued(columns: Sequence[Column], width: int) -> list[Part]:
    """Parts beneath one another, each with the leading columns, or with a number for each row."""
    lead = [each for each in columns if each.lead]
    taken = sum(_least(each) + 2 for each in lead)
    widest = max((_least(each) for each in columns if not each.lead), default=0)
    rest = [each for each in columns if not each.lead]
    if taken + widest > width or taken > MOST * width or not rest:
        rows = len(columns[0].cells)
        number = Column("line", [str(place) for place in range(1, rows + 1)], "number", lead=True)
        lead, rest = [number], list(columns)
    groups: list[list[Column]] = [[]]
    for column in rest:
        if groups[-1] and not _fitted([*lead, *groups[-1], column], width):
            groups.append([])
        groups[-1].append(column)
    return [_forced([*lead, *group], width) for group in groups]


def _forced(columns: Sequence[Column], width: int) -> Part:
    """Fit what is wider than the output even so: the widest column is cut to what is left."""
    if fits := _fitted(columns, width):
        return fits
    widths = [_least(each) for each in columns]
    widest = max(range(len(widths)), key=lambda n: widths[n])
    others = sum(widths) - widths[widest] + len(widths) - 1
    widths[widest] = max(width - others, 4)
    return Part(columns, widths, 1)


def _drawn(part: Part, *, color: bool) -> str:
    def lines(texts: Sequence[str]) -> list[str]:
        folded = [
            fold(text, width) if each.kind == "text" or cells(text) > width else text.split("\n")
            for text, width, each in zip(texts, part.widths, part.columns, strict=True)
        ]
        height = max(map(len, folded))
        return [
            (" " * part.gap)
            .join(
                _padded(text[row] if row < len(text) else "", width, each.kind)
                for text, width, each in zip(folded, part.widths, part.columns, strict=True)
            )
            .rstrip()
            for row in range(height)
        ]

    head = lines([each.heading for each in part.columns])
    rule = "─" * (sum(part.widths) + part.gap * (len(part.widths) - 1))
    rows = zip(*(each.cells for each in part.columns), strict=True)
    styled = [f"{BOLD}{line}{OFF}" if color else line for line in head]
    return "\n".join([*styled, rule, *(line for row in rows for line in lines(row))])


def _padded(text: str, width: int, kind: Kind) -> str:
    blanks = " " * (width - cells(text))
    return f"{blanks}{text}" if kind == "number" else f"{text}{blanks}"
