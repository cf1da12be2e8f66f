"""Which epoch's weights score the held-out cases."""

from collections.abc import Mapping

from volbench.experiment.recipe import Selection
from volbench.runs.history_file import VALIDATION_LOG_LOSS


def selection_score(selection: Selection, row: Mapping[str, float]) -> tuple[float, ...]:
    """Give what an epoch is chosen by; the larger tuple is better.

    Args:
        selection: The recipe's: part and metric.
        row: The epoch's row of the history.

    >>> last = Selection(checkpoint="last", metric="loss", validation_fraction=0.15)
    >>> selection_score(last, {"epoch": 7, "train_loss": 0.2})
    (7,)
    """
    match selection.checkpoint, selection.metric:
        case "validation", "auc":
            return row["validation_auc"], -row[VALIDATION_LOG_LOSS]
        case "validation", _:
            return (-row[VALIDATION_LOG_LOSS],)
        case "training_loss", _:
            return (-row["train_loss"],)
        case _:
            return (row["epoch"],)
