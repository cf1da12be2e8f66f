"""Bootstrap weights of patients, and weighted AUC for all draws at once."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from volbench.errors import DataError, UsageError

# Draws whose weights are in memory at once: 250 x 10,000 cases x 8 bytes = 20 MB.
CHUNK = 250


@dataclass(frozen=True)
class Clusters:
    """Cases by patient, and patients by stratum: the set of classes among their cases.

    Drawing within strata keeps the numbers of patients of each class what they are.

    Attributes:
        of_case: Number of the patient of each case.
        strata: Numbers of the patients of each stratum.
    """

    of_case: Int[np.ndarray, " item"]
    strata: tuple[Int[np.ndarray, " _"], ...]

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
                drawn[:, stratum] = random.multinomial(size, np.full(size, 1 / size), rows)
            yield drawn[:, self.of_case]

    def left_out(self) -> Iterator[Float[np.ndarray, "resample item"]]:
        """Leave out one patient at a time, in the order of ``strata``; weights in chunks."""
        order = np.concatenate(self.strata)
        for start in range(0, len(order), CHUNK):
            yield 1.0 * (order[start : start + CHUNK, None] != self.of_case[None])


def clusters_of(
    labels: Int[np.ndarray, " item"], clusters: Shaped[np.ndarray, " item"] | None
) -> Clusters:
    """Sort cases by patient and patients by the set of their classes.

    Raises:
        DataError: there are no cases.
    """
    if not len(labels):
        raise DataError("no cases to draw from")
    of_case = (
        np.arange(len(labels)) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    )
    classes = np.zeros((int(of_case.max()) + 1, int(labels.max()) + 1), dtype=bool)
    classes[of_case, labels] = True
    kind = np.unique(classes, axis=0, return_inverse=True)[1].ravel()
    strata = tuple(np.flatnonzero(kind == number) for number in range(int(kind.max()) + 1))
    return Clusters(of_case=of_case, strata=strata)


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
