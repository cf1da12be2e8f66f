"""The one display of progress: bars where the terminal can redraw them, plain lines elsewhere."""

import os
import sys
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from volbench._utils.text import plural
from volbench._utils.text_table import paragraph
from volbench.cli.output import echo_note
from volbench.cli.progress.closing import Closing

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.live import Live
    from rich.text import Text

PLAIN_SECONDS = 30.0
"""Longest interval between plain lines, in seconds, if a step of the work is not longer."""

MIN_BAR = 8
MOST_ROWS = 8
"""Rows of work in progress that are shown at a time; the others are counted."""

Parts = Callable[[], Sequence[str]]
"""What is said behind a bar, most telling first: the last ones go where there is no room."""


def redraws() -> bool:
    """Whether stderr is a terminal that can draw over what it has shown."""
    return sys.stderr.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")


@dataclass
class Row:
    """Counted work.

    Attributes:
        label: Stands before the bar.
        total: None while unknown.
        done: May be a fraction, of which the count shows the whole part.
        unit: Stands behind the count.
        parts: Stand behind that.
        partly: What is done of further items, for the bar only.
    """

    label: str
    total: int | None
    done: float = 0.0
    unit: str = ""
    parts: Parts = tuple
    partly: Callable[[], float] = float

    @property
    def share(self) -> float:
        """Part that is done."""
        return min((self.done + self.partly()) / self.total, 1.0) if self.total else 0.0

    @property
    def count(self) -> str:
        """How much is done."""
        if self.total is None:
            return ""
        return f"{int(self.done + 1e-9)}/{self.total}{f' {self.unit}' if self.unit else ''}"

    def text(self, room: int) -> str:
        """As many of the parts as there is room for."""
        parts = [part for part in self.parts() if part]
        while parts and sum(map(len, parts)) + 2 * len(parts) > room:
            parts.pop()
        return "".join(f"  {part}" for part in parts)


@dataclass(frozen=True)
class Drawn:
    """A row as text of one line."""

    head: str
    bar: int
    filled: int
    tail: str


def lay_out(rows: Sequence[Row], width: int) -> list[Drawn]:
    """Lay rows out over the width: labels, bars and counts in columns of their own.

    >>> (row,) = lay_out([Row("folds", 4, 2, "folds", lambda: ("AUC 0.812", "0:09"))], 48)
    >>> row.head, row.bar, row.filled, row.tail
    ('folds ', 15, 7, ' 2/4 folds  AUC 0.812  0:09')
    >>> lay_out([Row("folds", 4, 2, "folds", lambda: ("AUC 0.812", "0:09"))], 35)[0].tail
    ' 2/4 folds  AUC 0.812'
    """
    label = max(len(row.label) for row in rows)
    count = max(len(row.count) for row in rows)
    room = width - label - count - 2  # a space on both sides of the bar
    texts = [row.text(room - MIN_BAR) for row in rows]
    bar = max(room - max(map(len, texts)), 0)
    drawn = []
    for row, text in zip(rows, texts, strict=True):
        tail = f" {row.count:>{count}}{text}"
        head = f"{row.label:<{label}} "
        drawn.append(Drawn(head, bar, int(bar * row.share + 1e-9), tail.rstrip()))
    return drawn


class ProgressLine(Closing):
    """A bar over all of the work, rows for what is at it, and lines above them.

    Args:
        label: Stands before the bar.
        units: The counted items, in the plural.
        parts: Stand behind it.
    """

    def __init__(self, label: str, units: str, parts: Parts) -> None:
        self.all = Row(label, 0, 0, units, parts)
        self.rows: dict[Hashable, Row] = {}
        self.said = time.monotonic()
        self._live: Live | None = None

    def start(self, total: int, done: int = 0) -> None:
        """Show the bar, where it can be drawn."""
        self.all.total, self.all.done = total, done
        if self._live is None and redraws():
            from rich.console import Console
            from rich.live import Live

            console = Console(stderr=True, highlight=False)
            # Transient: what remains on the screen is the result, which the command prints.
            self._live = Live(self, console=console, transient=True, refresh_per_second=10)
            self._live.start()

    def close(self) -> None:
        """Remove the bars."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    @property
    def is_live(self) -> bool:
        """Whether bars are drawn."""
        return self._live is not None

    @property
    def state(self) -> str:
        """How far the work is, in words."""
        of_all = f"{self.all.done:.0f} of {plural(self.all.total or 0, self.all.unit[:-1])}"
        return ", ".join([of_all, *filter(None, self.all.parts())])

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        self.said = time.monotonic()
        if self._live is None:
            echo_note(text)
        else:
            shown = "\n".join(paragraph(text, self._live.console.width))
            self._live.console.print(shown, markup=False, emoji=False, soft_wrap=True)

    def tell(self, text: str) -> None:
        """Print a line on a step of the work, where no bar shows it and nothing was said lately."""
        if self._live is None and time.monotonic() - self.said >= PLAIN_SECONDS:
            self.say(text)

    def __rich_console__(
        self, console: "Console", options: "ConsoleOptions"
    ) -> "Iterator[Text | str]":
        from rich.text import Text

        shown = list(self.rows.values())
        more = len(shown) - MOST_ROWS
        filled, rest = "━─" if not options.ascii_only else "=-"
        for row in lay_out([self.all, *shown[:MOST_ROWS]], options.max_width):
            text = Text(row.head, no_wrap=True, overflow="crop")
            text.append(filled * row.filled, style="bar.complete")
            text.append(rest * (row.bar - row.filled), style="bar.back")
            text.append(row.tail)
            yield text
        if more > 0:
            yield f"and {more} more"
