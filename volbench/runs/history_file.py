"""history.csv: losses and metrics of a fold by epoch, written; `load.read_history` reads it."""

from collections.abc import Mapping, Sequence

from volbench._utils.csv_text import csv_text

VALIDATION_LOG_LOSS = "validation_log_loss"
"""Column of the history: log loss of the inner validation part, in which classes weigh the same.

It is of another kind than ``train_loss``, which is whatever loss the run trains with.
"""

FORMER_COLUMNS = {"validation_loss": VALIDATION_LOG_LOSS}
"""Columns of histories that were written under another name."""


def history_csv(history: Sequence[Mapping[str, float]]) -> str:
    """Show one row per epoch; a value that an epoch lacks stays empty."""
    names = list(dict.fromkeys(name for row in history for name in row))
    return csv_text([names, *([row.get(name, "") for name in names] for row in history)])
