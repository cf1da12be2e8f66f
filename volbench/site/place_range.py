"""Places that a row may hold, in place of a rank that the tests do not support."""

from collections import Counter
from dataclasses import dataclass

from volbench.leaderboard.statistics.comparison import Comparison


@dataclass(frozen=True, order=True)
class PlaceRange:
    """The places from ``first`` to ``last``, of ``rows`` that were compared.

    >>> str(PlaceRange(1, 4, rows=9)), str(PlaceRange(2, 2, rows=9))
    ('1–4', '2')
    """

    first: int
    last: int
    rows: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}–{self.last}"


def place_ranges(comparison: Comparison) -> dict[int, PlaceRange]:
    """By position of a row: 1 + the rows shown to be better, to all less those shown to be worse.

    Rows that were not tested, as they are incomplete or alone, have none.
    """
    better: Counter[int] = Counter()
    worse: Counter[int] = Counter()
    tested = {place for pair in comparison.pairs for place in (pair.first, pair.second)}
    for pair in comparison.pairs:
        if pair.verdict == "no difference shown":
            continue
        above, below = pair.first, pair.second
        if pair.verdict == "worse":
            above, below = below, above
        better[below] += 1
        worse[above] += 1
    count = len(tested)
    return {
        place: PlaceRange(1 + better[place], count - worse[place], rows=count)
        for place in sorted(tested)
    }
