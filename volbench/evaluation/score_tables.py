"""Metrics per fold and over all folds."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from volbench.evaluation.items import Items
from volbench.evaluation.metrics import score
from volbench.evaluation.metrics.named import HIGH


def counts(items: Items) -> dict[str, int]:
    """How many items, ``n``; patients; and items of each class, ``n_<class>``."""
    by_class = np.bincount(items.labels, minlength=len(items.classes))
    named = zip(items.classes, by_class, strict=True)
    return {
        "n": len(items.labels),
        "patients": len(set(items.patients)),
        **{f"n_{name}": int(number) for name, number in named},
    }


def pooled_scores(items: Items, *, at: float = HIGH) -> dict[str, float]:
    """Counts and metrics of all items as one set.

    Pooled over folds, the order of items of different folds counts too, which is that of
    different networks: a pooled AUC is not the mean of those of the folds.

    Args:
        items: What to score.
        at: Specificity at which the sensitivity is given, and the other way round.
    """
    metrics = score(
        items.labels, items.probabilities, items.classes, threshold=items.thresholds, at=at
    )
    return {**counts(items), **metrics}


def fold_scores(items: Items, *, at: float = HIGH) -> pd.DataFrame:
    """Counts and metrics of every fold: one row per fold, one column per number.

    Args:
        items: What to score.
        at: Specificity at which the sensitivity is given, and the other way round.
    """
    folds = [int(fold) for fold in np.unique(items.folds)]
    rows: Iterable[dict[str, float]] = (
        pooled_scores(items.take(items.folds == fold), at=at) for fold in folds
    )
    return pd.DataFrame(list(rows), index=pd.Index(folds, name="fold"))
