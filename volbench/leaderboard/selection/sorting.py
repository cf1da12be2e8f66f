"""What a table can be sorted by, and in which direction."""

import math
from collections.abc import Sequence
from difflib import get_close_matches

from volbench.errors import UsageError
from volbench.evaluation.metrics import metrics_for
from volbench.leaderboard.statistics.comparison import Candidate

TEXTS = ("run", "encoder", "aggregator", "loss", "level", "status")
COSTS = ("parameters", "seconds", "samples_per_second", "peak_memory_mb")
COUNTS = ("folds", "n")


def sort_keys(classes: Sequence[str]) -> list[str]:
    """Every metric of these classes, and the other columns."""
    return [*metrics_for(classes), *COSTS, *COUNTS, *TEXTS]


def sort_values(rows: Sequence[Candidate], by: str) -> list[Candidate]:
    """Sort rows, best first; texts from a to z.

    By a number, incomplete rows come after complete ones, as they are means over other folds;
    what is undefined comes last.

    Raises:
        UsageError: there is no such metric or column.
    """
    classes = next((row.runs[0].classes for row in rows if row.runs[0].classes), ())
    metrics = metrics_for(classes)
    known = sort_keys(classes)
    if by not in known:
        near = get_close_matches(by, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(known)}"
        raise UsageError(f"--sort {by!r} is not a column; {hint}")
    if by in TEXTS:
        return sorted(rows, key=lambda row: str(row.name if by == "run" else getattr(row, by)))

    def key(row: Candidate) -> tuple[bool, bool, float]:
        if by in metrics:
            value = row.score(by).mean
        else:
            found = getattr(row.cost if by in COSTS else row, by)
            value = math.nan if found is None else float(found)
        smallest_first = by in ("parameters", "seconds", "peak_memory_mb") or (
            by in metrics and not metrics[by].higher_is_better
        )
        signed = value if smallest_first else -value
        return row.status != "complete", math.isnan(value), signed

    return sorted(rows, key=key)
