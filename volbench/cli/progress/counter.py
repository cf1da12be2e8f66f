"""Progress of counted work: a bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from volbench.cli.progress.line import ProgressLine, redraws

PARTS = 10
"""Maximum number of plain lines, besides those after a long silence."""

SILENCE_S = 60.0
SHORTEST_S = 1.0
"""Minimum interval between plain lines, in seconds."""

Report = Callable[[int, int], None]
"""Called with the number of items done and the total."""


@contextmanager
def counter(label: str, unit: str) -> Iterator[Report]:
    """Show the progress of counted work on stderr, which leaves stdout to results.

    Nothing is shown before the first report, so work that is already done stays silent.

    Args:
        label: The work, e.g. ``preparing``.
        unit: The counted items, in the plural.
    """
    with _bar(label, unit) if redraws() else _lines(label, unit) as report:
        yield report


@contextmanager
def _bar(label: str, unit: str) -> Iterator[Report]:
    pace = _Pace(unit)
    said = ""
    with ProgressLine(label, unit, lambda: (said,)) as line:

        def report(done: int, total: int) -> None:
            nonlocal said
            said = pace.after(done, total)
            if not line.is_live:
                line.start(total)
            line.all.done = done

        yield report


@contextmanager
def _lines(label: str, unit: str) -> Iterator[Report]:
    pace = _Pace(unit)
    shown_part, shown_at = 0, -SILENCE_S

    def report(done: int, total: int) -> None:
        nonlocal shown_part, shown_at
        speed = pace.after(done, total)
        part, now = PARTS * done // max(total, 1), time.monotonic()
        further = part > shown_part and now - shown_at >= SHORTEST_S
        if further or (done == total and shown_part < PARTS) or now - shown_at >= SILENCE_S:
            shown_part, shown_at = part, now
            text = f"{label}: {done}/{total} {unit}"
            click.echo(f"{text}, {speed}" if speed else text, err=True)

    yield report


class _Pace:
    """Rate and time left since the first report.

    Items that were done before do not count, so a resumed run does not look too fast.
    """

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._start: tuple[int, float] | None = None

    def after(self, done: int, total: int) -> str:
        """Rate and time left as text; empty while unknown."""
        now = time.monotonic()
        if self._start is None:
            self._start = (done, now)
        first, start = self._start
        if done <= first or now <= start:
            return ""
        rate = (done - first) / (now - start)
        return f"{_rate(rate, self._unit)}, {_duration((total - done) / rate)} left"


def _rate(per_second: float, unit: str) -> str:
    if per_second >= 1:
        return f"{per_second:.0f} {unit}/s" if per_second >= 10 else f"{per_second:.1f} {unit}/s"
    return f"{1 / per_second:.1f} s each"


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
