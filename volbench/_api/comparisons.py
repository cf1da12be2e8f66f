"""Comparisons as they are shown in Python: a line as text, leaderboards in a notebook."""

from volbench._utils.text import plural
from volbench.leaderboard.render.html import section_html
from volbench.leaderboard.render.layout import sections
from volbench.leaderboard.statistics.comparison import Comparison


class Comparisons(tuple[Comparison, ...]):
    """One comparison per data set and split: a tuple that a notebook shows as leaderboards.

    >>> Comparisons()
    <0 comparisons>
    """

    __slots__ = ()

    def __repr__(self) -> str:
        if len(self) == 1:
            return f"<1 comparison: {self[0]!r}>"
        return f"<{plural(len(self), 'comparison')}{': ' if self else ''}{_titles(self)}>"

    def _repr_html_(self) -> str:
        return "\n".join(section_html(part) for comparison in self for part in sections(comparison))


def _titles(comparisons: Comparisons) -> str:
    shown = [
        f"{plural(len(each.rows), 'candidate')} on {each.first_run.data}" for each in comparisons
    ]
    return ", ".join(shown[:3]) + (", …" if len(shown) > 3 else "")
