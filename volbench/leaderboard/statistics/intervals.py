"""Patients drawn with replacement, once for all runs of a table, and every run scored on them.

The numbers are those of :func:`volbench.evaluation.statistics.bootstrap_interval`; metrics that are
means of quotients of sums over items (accuracy, recalls, ...) are computed for all draws at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from volbench.evaluation import Items
from volbench.evaluation.metrics.calibration import LEAST_PROBABILITY
from volbench.evaluation.statistics.patient_bootstrap import clusters_of, weighted_areas
from volbench.leaderboard.statistics.run_scores import Scored

Draws = Float[np.ndarray, " resample"]
PerItem = Float[np.ndarray, " item"]
Quotient = tuple[PerItem, PerItem]
"""What is summed above and below the line."""


def resample(
    rows: Mapping[int, Sequence[Scored]], *, resamples: int, seed: int
) -> dict[int, dict[str, Draws]]:
    """Draw patients and score every row on each draw; within folds, then their mean.

    Args:
        rows: The runs of each row, by its position; all hold out the same items.
        resamples: How many draws.
        seed: The same seed draws the same patients.

    Returns:
        For each row, by metric, its value in each draw; NaN where it is not defined.
    """
    if not rows:
        return {}
    first = next(iter(rows.values()))[0].items
    assert first is not None
    clusters = clusters_of(first.labels, np.array(first.patients))
    taken_apart = {place: [_Run.of(scored) for scored in runs] for place, runs in rows.items()}
    chunks = [
        {place: _row(runs, weights) for place, runs in taken_apart.items()}
        for weights in clusters.draws(resamples, seed)
    ]
    return {
        place: {
            name: np.concatenate([chunk[place][name] for chunk in chunks])
            for name in chunks[0][place]
        }
        for place in rows
    }


def interval(draws: Draws, *, alpha: float) -> tuple[float, float]:
    """The middle of the draws; NaN where the metric is not defined in half of them."""
    defined = draws[~np.isnan(draws)]
    if len(defined) < len(draws) / 2:
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [alpha / 2, 1 - alpha / 2])
    return float(low), float(high)


def two_sided(differences: Draws) -> float:
    """Twice the smaller share of draws on one side of 0, the data counting as one draw."""
    defined = differences[~np.isnan(differences)]
    if len(defined) < len(differences) / 2:
        return float("nan")
    smaller = min(int((defined <= 0).sum()), int((defined >= 0).sum()))
    return min(1.0, 2 * (smaller + 1) / (len(defined) + 1))


@dataclass(frozen=True, eq=False)
class _Part:
    """One fold of one run: what its metrics are made of, item by item.

    Attributes:
        where: Positions of its items.
        sums: Two columns per quotient: above the line, and below it.
    """

    where: Int[np.ndarray, " item"]
    labels: Int[np.ndarray, " item"]
    probabilities: Float[np.ndarray, "item class"]
    sums: Float[np.ndarray, "item sum"]

    def areas(self, drawn: Float[np.ndarray, "resample item"]) -> Draws:
        """AUC in each draw."""
        count = self.probabilities.shape[1]
        each = [
            weighted_areas(self.labels == index, self.probabilities[:, index], drawn)
            for index in (range(count) if count > 2 else (1,))
        ]
        return np.asarray(np.mean(each, axis=0))

    def quotients(
        self, drawn: Float[np.ndarray, "resample item"]
    ) -> Float[np.ndarray, "quotient resample"]:
        """Each quotient in each draw."""
        above, below = np.split((drawn @ self.sums).T, 2)
        return np.asarray(np.where(below > 0, above / np.where(below > 0, below, 1), np.nan))


@dataclass(frozen=True, eq=False)
class _Run:
    """One run, taken apart once for all draws."""

    split: str
    names: tuple[str, ...]
    recalls: tuple[int, ...]
    parts: tuple[_Part, ...]

    @classmethod
    def of(cls, scored: Scored) -> "_Run":
        items = scored.items
        assert items is not None
        found = quotients(items)
        names = tuple(found)
        sums = np.stack([found[name][side] for side in (0, 1) for name in names], axis=1)
        folds = items.folds
        parts = []
        for fold in np.unique(folds):
            where = np.flatnonzero(folds == fold)
            parts.append(_Part(where, items.labels[where], items.probabilities[where], sums[where]))
        recalls = tuple(names.index(f"recall_{name}") for name in items.classes)
        return cls(scored.run.experiment["split_digest"], names, recalls, tuple(parts))

    def scores(self, weights: Float[np.ndarray, "resample item"]) -> dict[str, Draws]:
        """Every metric in each draw: of each fold, then the mean of those that have a value."""
        areas, quotients = [], []
        for part in self.parts:
            drawn = weights[:, part.where]
            areas.append(part.areas(drawn))
            each = part.quotients(drawn)
            balanced = each[list(self.recalls)].mean(axis=0, keepdims=True)
            quotients.append(np.concatenate([each, balanced]))
        names = ("auc", *self.names, "balanced_accuracy")
        by_fold = np.concatenate([np.stack(areas)[:, None], np.stack(quotients)], axis=1)
        defined = ~np.isnan(by_fold)
        count = defined.sum(axis=0)
        sums = np.where(defined, by_fold, 0.0).sum(axis=0)
        means = np.where(count > 0, sums / np.maximum(count, 1), np.nan)
        return dict(zip(names, means, strict=True))


def _row(runs: Sequence[_Run], weights: Float[np.ndarray, "resample item"]) -> dict[str, Draws]:
    by_split: dict[str, list[dict[str, Draws]]] = {}
    for run in runs:
        by_split.setdefault(run.split, []).append(run.scores(weights))
    return _mean([_mean(each) for each in by_split.values()])


def _mean(parts: Sequence[Mapping[str, Draws]]) -> dict[str, Draws]:
    return {name: np.mean([part[name] for part in parts], axis=0) for name in parts[0]}


def quotients(items: Items) -> dict[str, Quotient]:
    """What is summed over items for each metric that is a quotient of two sums."""
    one = np.ones(len(items.labels))
    predicted, truth = items.predicted, items.labels
    right = (predicted == truth).astype(np.float64)
    of_truth = items.probabilities[np.arange(len(truth)), truth]
    if len(items.classes) == 2:
        squared = (items.probabilities[:, 1] - truth) ** 2
    else:
        squared = ((items.probabilities - np.eye(len(items.classes))[truth]) ** 2).sum(axis=1)
    found = {
        "accuracy": (right, one),
        "brier": (squared, one),
        "log_loss": (np.asarray(-np.log(np.maximum(of_truth, LEAST_PROBABILITY))), one),
    }
    for index, name in enumerate(items.classes):
        called, of_class = (1.0 * (each == index) for each in (predicted, truth))
        found[f"recall_{name}"] = (right * of_class, of_class)
        found[f"precision_{name}"] = (right * called, called)
    return found
