"""Markdown output with escaped text, tables and formatted numbers."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence

from volbench._utils.text import printable
from volbench.leaderboard.statistics.run_scores import Estimate

SPECIAL = re.compile(r"([\\`*_\[\]|~#$!])")
"""What Markdown, tables and mathematics read as a sign, wherever it stands."""


def safe(text: object) -> str:
    r"""Text that is shown as it is: one line, no Markdown, no HTML.

    >>> safe("a|b <b>`c`")
    'a\\|b &lt;b&gt;\\`c\\`'
    """
    line = printable(" ".join(str(text).split()))
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return SPECIAL.sub(r"\\\1", line)


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, text: int = 1) -> str:
    """Draw a table of cells that are safe already; all but the first ``text`` columns are numbers.

    >>> print(table(["a", "n"], [["x", "1"]]))
    | a | n |
    | --- | --: |
    | x | 1 |
    """
    rule = ["---" if place < text else "--:" for place in range(len(header))]
    lines = [header, rule, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float | None, digits: int = 3) -> str:
    """A number; a dash where there is none."""
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def plain(value: object) -> str:
    """A value of a recipe: numbers without needless digits."""
    if value is None:
        return "not set"
    return f"{value:g}" if isinstance(value, float) else safe(value)


def options(
    values: Mapping[str, object], *, unused: Mapping[str, tuple[str, object]] | None = None
) -> str:
    """Options by name, without those that only do something where another has a certain value.

    >>> options({"crop": "none", "margin": 0.1}, unused={"margin": ("crop", "roi")})
    'crop none'
    """
    conditions = unused or {}
    return ", ".join(
        f"{safe(name)} {plain(value)}"
        for name, value in values.items()
        if name not in conditions or values[conditions[name][0]] == conditions[name][1]
    )


def span(values: Iterable[float], unit: str = "") -> str:
    """Least and greatest value, or the one there is.

    >>> span([3, 4.5, 3]), span([2, 2], "mm")
    ('3 to 4.5', '2 mm')
    """
    ends = sorted(set(values))
    shown = [f"{end:.4g}" for end in dict.fromkeys((ends[0], ends[-1]))]
    return " to ".join(shown) + (f" {unit}" if unit else "")


def counted(many: int, one: str, several: str = "") -> str:
    """A number with its noun.

    >>> counted(1, "case"), counted(2, "case")
    ('1 case', '2 cases')
    """
    return f"{many} {one if many == 1 else several or one + 's'}"


def interval(score: Estimate, *, percent: bool = False) -> str:
    """The interval of a mean, or that there is none."""
    if math.isnan(score.low):
        return "no interval"
    scale, digits = (100, 1) if percent else (1, 3)
    low, high = (f"{end * scale:.{digits}f}" for end in (score.low, score.high))
    return f"95 % interval {low} to {high}"


def estimate(score: Estimate, *, percent: bool = False) -> str:
    """A mean over folds with its interval and standard deviation."""
    if math.isnan(score.mean):
        return "not defined"
    scale, digits = (100, 1) if percent else (1, 3)
    mean, std = (number(value * scale, digits) for value in (score.mean, score.std))
    unit = " %" if percent else ""
    spread = "" if math.isnan(score.std) else f"; standard deviation over folds {std}"
    return f"{mean}{unit} ({interval(score, percent=percent)}{spread})"
