"""Times of candidates beside those of one of them: aligned lines to read, figures for a file."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6}


@dataclass(frozen=True, kw_only=True)
class Table:
    """Times of some candidates beside the one that they are compared with.

    The ratio of a candidate is its time over the reference's time of the same round: 2 means that
    it takes twice as long. Its figure is the median over rounds, with the least and the greatest.

    Attributes:
        title: What was done and on how much.
        unit: Of the printed times: ``s``, ``ms`` or ``us``.
        reference: Name of the candidate the others are divided by.
        seconds: For each candidate, one figure a round (as ``interleave`` returns them).
        extra: Further columns: heading, then candidate, then what to print. A candidate may lack.
        notes: Lines below the table: what was left out, what is not the same work.
    """

    title: str
    unit: str
    reference: str
    seconds: Mapping[str, Sequence[float]]
    extra: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise ValueError(f"unit must be one of {', '.join(UNITS)}, but got {self.unit!r}.")
        if self.reference not in self.seconds:
            raise ValueError(
                f"The reference {self.reference!r} was not timed; timed: {', '.join(self.seconds)}."
            )
        rounds = {name: len(each) for name, each in self.seconds.items()}
        if len(set(rounds.values())) != 1 or 0 in rounds.values():
            raise ValueError(f"Every candidate needs as many rounds as the others: {rounds}.")

    def ratios(self, name: str) -> list[float]:
        """Time of a candidate over the reference's, one figure a round."""
        pairs = zip(self.seconds[name], self.seconds[self.reference], strict=True)
        return [own / reference for own, reference in pairs]

    def as_dict(self) -> dict[str, Any]:
        """The table for a JSON file: every single time beside what is printed."""
        return {
            "title": self.title,
            "reference": self.reference,
            "candidates": {
                name: {
                    "seconds": list(each),
                    **_spread(each),
                    "ratio": _spread(self.ratios(name)),
                    **{
                        title: column[name]
                        for title, column in self.extra.items()
                        if name in column
                    },
                }
                for name, each in self.seconds.items()
            },
            "notes": list(self.notes),
        }

    def text(self) -> str:
        """The table as aligned lines."""
        scale = UNITS[self.unit]
        heading = ["", f"min {self.unit}", "median", "max", "ratio", "(min to max)", *self.extra]
        rows = [heading]
        for name, each in self.seconds.items():
            times, ratio = _spread(each), _spread(self.ratios(name))
            rows.append(
                [
                    name,
                    *(_figure(scale * times[part]) for part in ("min", "median", "max")),
                    f"{ratio['median']:.2f}",
                    f"({ratio['min']:.2f} to {ratio['max']:.2f})",
                    *(_cell(column.get(name, "")) for column in self.extra.values()),
                ]
            )
        widths = [max(len(row[column]) for row in rows) for column in range(len(heading))]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
            for row in rows
        ]
        count = len(next(iter(self.seconds.values())))
        title = f"{self.title} ({count} round{'s' * (count > 1)}; ratio to {self.reference})"
        return "\n".join([title, *lines, *(f"  {note}" for note in self.notes)])


def _spread(figures: Sequence[float]) -> dict[str, float]:
    return {"min": min(figures), "median": statistics.median(figures), "max": max(figures)}


def _figure(value: float) -> str:
    """Three digits that count, as plain decimals."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def _cell(value: object) -> str:
    return _figure(value) if isinstance(value, float) and value >= 0 else str(value)
