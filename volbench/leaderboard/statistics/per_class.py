"""Each class of a row: confusions, recall, and AUC of the class against the rest."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from volbench.evaluation.items import Items
from volbench.evaluation.metrics import area_under_curve, confusion
from volbench.evaluation.statistics.spread import spread

DEFINITION = (
    "AUC of several classes is the mean over classes of the AUC of each one against the rest "
    "(one-vs-rest, macro), within folds"
)


@dataclass(frozen=True)
class ClassScore:
    """One true class.

    Attributes:
        counts: How often it was taken for each class, all folds and seeds together.
        auc: Of the class against the rest: mean over folds; NaN where no fold has both.
        auc_std: Standard deviation over folds (ddof 1).
    """

    name: str
    counts: tuple[int, ...]
    auc: float
    auc_std: float

    @property
    def n(self) -> int:
        """Items of this class."""
        return sum(self.counts)


def class_scores(found: Sequence[Items]) -> list[ClassScore]:
    """Score the classes of a row from the items of its runs; none before a fold is done."""
    if not found:
        return []
    classes = found[0].classes
    counts = np.sum([confusion(i.labels, i.predicted, len(classes)) for i in found], axis=0)
    folds = [items.take(items.folds == fold) for items in found for fold in set(items.folds)]
    return [
        ClassScore(name, tuple(map(int, counts[place])), *_over_folds(folds, place))
        for place, name in enumerate(classes)
    ]


def recall_of(score: ClassScore, place: int) -> float:
    """Share of the items of a class that were decided rightly; NaN of none."""
    return score.counts[place] / score.n if score.n else math.nan


def _over_folds(folds: Sequence[Items], place: int) -> tuple[float, float]:
    areas = []
    for items in folds:
        of_class = items.probabilities[:, place]
        two = np.stack([1 - of_class, of_class], axis=1)
        areas.append(area_under_curve((items.labels == place).astype(np.int64), two))
    known = np.array([area for area in areas if not math.isnan(area)])
    if not len(known):
        return math.nan, math.nan
    return float(known.mean()), float(spread(known))
