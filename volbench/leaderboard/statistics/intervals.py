"""Patients drawn with replacement, once for all runs of a table, and every run scored on them.

The numbers are those of :func:`volbench.evaluation.statistics.bootstrap_interval`; metrics that are
means of quotients of sums over items (accuracy, recalls, ...) are computed for all draws at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from volbench.evaluation.items import Items
from volbench.evaluation.metrics.calibration import LEAST_PROBABILITY
from volbench.evaluation.statistics.patient_bootstrap import (
    clusters_of,
    mean_over_folds,
    presence,
    weighted_areas,
)
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
    divisions = {scored.run.division for scored in chain.from_iterable(rows.values())}
    folds = first.folds if len(divisions) == 1 else None
    clusters = clusters_of(first.labels, np.array(first.patients), folds)
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
        patients: Of each item.
        sums: Two columns per quotient: above the line, and below it.
    """

    where: Int[np.ndarray, " item"]
    labels: Int[np.ndarray, " item"]
    patients: Shaped[np.ndarray, " item"]
    probabilities: Float[np.ndarray, "item class"]
    sums: Float[np.ndarray, "item sum"]

    @property
    def complete(self) -> bool:
        """Whether it has every class; without one, it has no AUC."""
        return bool(len(np.unique(self.labels)) == self.probabilities.shape[1])

    def area(self, index: int, drawn: Float[np.ndarray, "resample item"]) -> tuple[Draws, Draws]:
        """AUC of a class against the rest in each draw, and how much the fold counts."""
        positive = self.labels == index
        return (
            weighted_areas(positive, self.probabilities[:, index], drawn),
            self.presence(positive, drawn) * self.presence(~positive, drawn),
        )

    def presence(
        self, inside: Bool[np.ndarray, " item"], drawn: Float[np.ndarray, "resample item"]
    ) -> Draws:
        """How much the fold counts for what needs some of its items."""
        return presence(drawn, inside, self.patients)

    def quotients(
        self, drawn: Float[np.ndarray, "resample item"]
    ) -> Float[np.ndarray, "quotient resample"]:
        """Each quotient in each draw."""
        above, below = np.split((drawn @ self.sums).T, 2)
        return np.asarray(np.where(below > 0, above / np.where(below > 0, below, 1), np.nan))


@dataclass(frozen=True, eq=False)
class _Run:
    """One run, taken apart once for all draws.

    Attributes:
        names: Of its quotients.
        recalls: Positions of the recalls among them, by class.
    """

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
        folds, patients = items.folds, np.array(items.patients)
        parts = []
        for fold in np.unique(folds):
            where = np.flatnonzero(folds == fold)
            parts.append(
                _Part(
                    where, items.labels[where], patients[where], items.probabilities[where],
                    sums[where],
                )
            )  # fmt: skip
        recalls = tuple(names.index(f"recall_{name}") for name in items.classes)
        return cls(scored.run.division, names, recalls, tuple(parts))

    def scores(self, weights: Float[np.ndarray, "resample item"]) -> dict[str, Draws]:
        """Every metric in each draw: of each fold, then the mean of those that have a value."""
        drawn = [weights[:, part.where] for part in self.parts]
        by_fold = np.stack(
            [part.quotients(each) for part, each in zip(self.parts, drawn, strict=True)]
        )
        counts = np.ones_like(by_fold)
        for index, place in enumerate(self.recalls):
            for fold, part in enumerate(self.parts):
                counts[fold, place] = part.presence(part.labels == index, drawn[fold])
        means = [
            mean_over_folds(by_fold[:, place], counts[:, place]) for place in range(len(self.names))
        ]
        balanced = np.mean([means[place] for place in self.recalls], axis=0)
        values = (self._areas(drawn), *means, balanced)
        return dict(zip(("auc", *self.names, "balanced_accuracy"), values, strict=True))

    def _areas(self, drawn: Sequence[Float[np.ndarray, "resample _"]]) -> Draws:
        """Mean over classes of the mean over folds."""
        both = [pair for pair in zip(self.parts, drawn, strict=True) if pair[0].complete]
        if not both:
            return np.full(len(drawn[0]), np.nan)
        count = len(self.recalls)
        each = []
        for index in range(count) if count > 2 else (1,):
            areas, counts = zip(*(part.area(index, of) for part, of in both), strict=True)
            each.append(mean_over_folds(np.stack(areas), np.stack(counts)))
        return np.asarray(np.mean(each, axis=0))


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
