"""Folds that are sites (``--folds site``): how an AUC varies from one site to the next."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

from volbench.evaluation.statistics.spread import spread
from volbench.runs.load import LoadedRun

LEAST = 3
"""Sites below this number show hardly anything of their spread."""


@dataclass(frozen=True)
class OverSites:
    """An AUC over sites that count as a sample of those that the answer is about.

    Attributes:
        mean: Of the sites' AUC.
        low: Lower end of the interval of that mean; not below 0.
        high: Upper end; not above 1.
        low_new: Lower end of the interval for the AUC on one more site.
        high_new: Upper end.
    """

    mean: float
    low: float
    high: float
    low_new: float
    high_new: float


def over_sites(areas: Float[np.ndarray, " site"], *, alpha: float = 0.05) -> OverSites | None:
    r"""Interval of the mean over sites, $\bar a \pm t\,s / \sqrt{k}$, and of one more site.

    The latter is a prediction interval, $\bar a \pm t\,s\,\sqrt{1 + 1/k}$. The spread has both the
    sites' own differences and the luck of their patients.

    Args:
        areas: AUC on each site, by a network that was trained on the others.
        alpha: The intervals have ``1 - alpha``.

    Returns:
        None for fewer than three sites with an AUC.

    >>> found = over_sites(np.array([0.8, 0.9, 0.85, 0.75]))
    >>> round(found.mean, 3), round(found.low, 3), round(found.high, 3), round(found.low_new, 3)
    (0.825, 0.722, 0.928, 0.595)
    """
    known = areas[np.isfinite(areas)]
    count = len(known)
    if count < LEAST:
        return None
    mean, std = float(known.mean()), float(spread(known))
    t = float(stats.t.ppf(1 - alpha / 2, count - 1))
    reach, new = t * std / math.sqrt(count), t * std * math.sqrt(1 + 1 / count)
    return OverSites(
        mean=mean,
        low=max(0.0, mean - reach),
        high=min(1.0, mean + reach),
        low_new=max(0.0, mean - new),
        high_new=min(1.0, mean + new),
    )


def site_column(run: LoadedRun) -> tuple[str, Mapping[int, str]] | None:
    """The column of which each fold holds out one value, and each value is in one fold.

    Returns:
        Its name and the value of each fold; None where folds are no sites.
    """
    rows = [row for row in run.case_rows if row.folds]
    for column in dict.fromkeys(name for row in rows for name in row.strata):
        values: dict[int, set[str]] = {}
        for row in rows:
            for fold in row.folds:
                values.setdefault(fold, set()).add(row.strata.get(column, ""))
        each = [next(iter(found)) for found in values.values() if len(found) == 1]
        if len(each) == len(values) == len(set(each)) and len(each) > 1:
            return column, {fold: next(iter(found)) for fold, found in sorted(values.items())}
    return None
