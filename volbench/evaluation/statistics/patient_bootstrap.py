"""Bootstrap weights of patients, and weighted metrics for all draws at once.

Small classes are drawn within folds by the doubled half bootstrap (Antal & Tille, 2014).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from volbench.errors import DataError, UsageError

# Draws whose weights are in memory at once: 250 x 10,000 cases x 8 bytes = 20 MB.
CHUNK = 250

FEW = 5
"""Fewer patients of a class than this in a fold are drawn within the fold: of five that are drawn
over all folds, one draw in 150 has none; of one patient, one in three."""


@dataclass(frozen=True)
class Clusters:
    """Cases by patient, and patients by stratum: the set of classes among their cases.

    Drawing within strata keeps the numbers of patients of each class what they are. Where a fold
    has few patients of a class, a stratum is a set of classes in one fold.

    Attributes:
        of_case: Number of the patient of each case.
        strata: Numbers of the patients of each stratum.
        within_folds: Whether strata are those of single folds.
    """

    of_case: Int[np.ndarray, " item"]
    strata: tuple[Int[np.ndarray, " _"], ...]
    within_folds: bool = False

    @property
    def total(self) -> int:
        """Number of patients."""
        return sum(map(len, self.strata))

    def draws(self, resamples: int, seed: int) -> Iterator[Float[np.ndarray, "resample item"]]:
        """Draw patients with replacement; yield how often each case was drawn, in chunks."""
        random = np.random.default_rng(seed)
        for start in range(0, resamples, CHUNK):
            rows = min(CHUNK, resamples - start)
            drawn = np.zeros((rows, self.total))
            for stratum in self.strata:
                size = len(stratum)
                drawn[:, stratum] = (
                    doubled_half(size, rows, random)
                    if self.within_folds
                    else random.multinomial(size, np.full(size, 1 / size), rows)
                )
            yield drawn[:, self.of_case]

    def left_out(self) -> Iterator[Float[np.ndarray, "resample item"]]:
        """Leave out one patient at a time, in the order of ``strata``; weights in chunks."""
        order = np.concatenate(self.strata)
        for start in range(0, len(order), CHUNK):
            yield 1.0 * (order[start : start + CHUNK, None] != self.of_case[None])


def doubled_half(
    size: int, rows: int, random: np.random.Generator
) -> Float[np.ndarray, "resample patient"]:
    """Draw half of a stratum twice (Antal & Tille, 2014); of an odd one, one patient in between.

    Drawing with replacement lets a mean of ``size`` patients vary by ``size - 1`` parts in ``size``
    of what it should. These weights have variance 1 and covariance -1 / (size - 1), which is exact
    from two patients on, and half of a stratum is always there. One patient alone has weight 1.

    >>> weights = doubled_half(3, 1000, np.random.default_rng(0))
    >>> sorted(set(weights.ravel().tolist())), set(weights.sum(axis=1).tolist())
    ([0.0, 1.0, 2.0, 3.0], {3.0})
    """
    weights = np.zeros((rows, size))
    half = size // 2
    weights[:, :half] = 2
    if size % 2:
        thrice = (random.random(rows) < 0.25) & (size > 1)
        weights[thrice, 0] += 1
        weights[~thrice, half] += 1
    return random.permuted(weights, axis=1)


def clusters_of(
    labels: Int[np.ndarray, " item"],
    clusters: Shaped[np.ndarray, " item"] | None,
    folds: Shaped[np.ndarray, " item"] | None = None,
) -> Clusters:
    """Sort cases by patient and patients by the set of their classes, and by fold where few are.

    Args:
        labels: Index of the class of each case.
        clusters: The patient of each case; None means that each case is one.
        folds: The fold of each case, if there are several to be scored apart.

    Raises:
        DataError: there are no cases.
    """
    if not len(labels):
        raise DataError("no cases to draw from")
    of_case = (
        np.arange(len(labels)) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    )
    total = int(of_case.max()) + 1
    classes = np.zeros((total, int(labels.max()) + 1), dtype=bool)
    classes[of_case, labels] = True
    kind = np.unique(classes, axis=0, return_inverse=True)[1].ravel()
    fold = np.zeros(total, dtype=np.int64)
    if folds is not None:
        number = np.unique(folds, return_inverse=True)[1].ravel()
        fold[of_case] = number
        if (fold[of_case] != number).any() or not _few(classes, fold):
            fold[:] = 0  # held out by several folds, or by one that has enough of each class
    if not fold.any():
        strata = [np.flatnonzero(kind == each) for each in range(int(kind.max()) + 1)]
        return Clusters(of_case, tuple(strata))
    strata = []
    for each in range(int(kind.max()) + 1):
        parts = [np.flatnonzero((kind == each) & (fold == one)) for one in np.unique(fold)]
        strata += _collapsed([part for part in parts if len(part)])
    return Clusters(of_case, tuple(strata), within_folds=True)


def _few(classes: Bool[np.ndarray, "patient class"], fold: Int[np.ndarray, " patient"]) -> bool:
    """Whether a fold has few patients of a class, but any."""
    counts = np.stack([classes[fold == each].sum(axis=0) for each in np.unique(fold)])
    return bool(((counts > 0) & (counts < FEW)).any())


def _collapsed(parts: list[Int[np.ndarray, " _"]]) -> list[Int[np.ndarray, " _"]]:
    """Put patients that are alone in their folds together, as nothing varies within one."""
    alone = [part for part in parts if len(part) == 1]
    others = sorted((part for part in parts if len(part) > 1), key=len)
    if len(alone) == 1 and others:
        alone.append(others.pop(0))
    return [*others, *([np.concatenate(alone)] if alone else [])]


def presence(
    weights: Float[np.ndarray, "resample item"],
    inside: Bool[np.ndarray, " item"],
    patients: Shaped[np.ndarray, " item"],
) -> Float[np.ndarray, " resample"]:
    """How much a fold counts for a metric that needs these of its cases: both are of that fold.

    A patient who is alone in a fold is drawn against those who are alone in others. Where he is
    left out, his fold has no value; where he is drawn twice, it stands for two folds.

    Returns:
        His weight; 1 where the cases are of several patients.
    """
    if inside.any() and len(np.unique(patients[inside])) == 1:
        return weights[:, int(np.argmax(inside))]
    return np.ones(len(weights))


def mean_over_folds(
    values: Float[np.ndarray, "fold resample"], counts: Float[np.ndarray, "fold resample"]
) -> Float[np.ndarray, " resample"]:
    """Mean over the folds that have a value, each by how much it counts; NaN where none has."""
    known = ~np.isnan(values)
    counts = np.where(known, counts, 0.0)
    whole = counts.sum(axis=0)
    sums = (np.where(known, values, 0.0) * counts).sum(axis=0)
    return np.asarray(np.where(whole > 0, sums / np.where(whole > 0, whole, 1.0), np.nan))


def weighted_areas(
    positive: Shaped[np.ndarray, " item"],
    scores: Float[np.ndarray, " item"],
    weights: Float[np.ndarray, "resample item"],
) -> Float[np.ndarray, " resample"]:
    """Areas under the ROC curve with one set of weights per row; ties count by half.

    NaN where a class has no weight.
    """
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
    sorted_weights = weights[:, order]
    is_positive = np.asarray(positive, dtype=bool)[order]
    above = np.add.reduceat(sorted_weights * is_positive, starts, axis=1)
    below = np.add.reduceat(sorted_weights * ~is_positive, starts, axis=1)
    lower = np.cumsum(below, axis=1) - below / 2
    with np.errstate(invalid="ignore"):
        pairs = above.sum(axis=1) * below.sum(axis=1)
        return np.asarray((above * lower).sum(axis=1) / np.where(pairs > 0, pairs, np.nan))


def check_resamples(resamples: int) -> None:
    """Refuse too few resamples for an interval.

    Raises:
        UsageError: fewer than 100.
    """
    if resamples < 100:
        raise UsageError(f"{resamples} resamples are too few for an interval; 2000 are usual")
