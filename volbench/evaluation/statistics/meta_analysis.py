r"""One answer from several data sets: random-effects meta-analysis of paired differences.

Each data set has a difference with a standard error; true differences may differ between data sets,
with a variance that is estimated (DerSimonian & Laird, 1986). The interval and the test are those
of Hartung & Knapp (2001) and Sidik & Jonkman (2002), which keep their level with few data sets;
never narrower than without a variance between data sets (Rover, Knapp & Friede, 2015).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

from volbench.errors import DataError
from volbench.evaluation.statistics.rope import MARGIN, Rope


@dataclass(frozen=True)
class OverDataSets:
    """A difference over data sets, first minus second.

    Attributes:
        difference: Mean over the data sets that these are a sample of.
        standard_error: Of that mean.
        between: Standard deviation of true differences between data sets.
        p: Two-sided.
        low: Lower end of the interval; not below -1.
        high: Upper end; not above 1.
        rope: Probabilities of worse, practically the same and better on average, under a flat
            prior.
        data_sets: How many.
    """

    difference: float
    standard_error: float
    between: float
    p: float
    low: float
    high: float
    rope: Rope
    data_sets: int


def over_data_sets(
    differences: Float[np.ndarray, " data"],
    standard_errors: Float[np.ndarray, " data"],
    *,
    alpha: float = 0.05,
    margin: float = MARGIN,
) -> OverDataSets:
    """Combine paired differences of the same two candidates.

    Args:
        differences: One per data set.
        standard_errors: Of each; more than 0.
        alpha: The interval has ``1 - alpha``.
        margin: Differences up to this one are practically none.

    Raises:
        DataError: fewer than two data sets, or a standard error that is not positive.

    >>> found = over_data_sets(np.array([0.02, 0.03, 0.04]), np.array([0.01, 0.01, 0.01]))
    >>> round(found.difference, 3), round(found.p, 3), found.between
    (0.03, 0.035, 0.0)
    """
    number = len(differences)
    if number < 2:
        raise DataError(f"{number} data set: an answer over data sets needs at least 2")
    if not (standard_errors > 0).all():
        raise DataError("a standard error is not positive, so its data set cannot be weighed")
    fixed = standard_errors**-2.0
    centre = float(fixed @ differences / fixed.sum())
    excess = float(fixed @ (differences - centre) ** 2) - (number - 1)
    scale = float(fixed.sum() - (fixed**2).sum() / fixed.sum())
    variance = max(0.0, excess / scale)
    weights = 1 / (standard_errors**2 + variance)
    mean = float(weights @ differences / weights.sum())
    spread = float(weights @ (differences - mean) ** 2) / (number - 1)
    error = math.sqrt(max(1.0, spread) / float(weights.sum()))
    posterior = stats.t(number - 1, loc=mean, scale=error)
    low, high = posterior.interval(1 - alpha)
    worse, better = float(posterior.cdf(-margin)), float(posterior.sf(margin))
    return OverDataSets(
        difference=mean,
        standard_error=error,
        between=math.sqrt(variance),
        p=float(2 * stats.t.sf(abs(mean) / error, number - 1)),
        low=max(-1.0, float(low)),
        high=min(1.0, float(high)),
        rope=Rope(worse=worse, same=max(0.0, 1 - worse - better), better=better, margin=margin),
        data_sets=number,
    )


def practically_best(
    pairs: Mapping[tuple[int, int], OverDataSets],
    candidates: Sequence[int],
    *,
    margin: float = MARGIN,
    draws: int = 20_000,
    seed: int = 0,
) -> dict[int, float]:
    """Probability that a candidate's mean over data sets is within the margin of the best one's.

    The means are drawn from their joint posterior: Student's t around the differences to the first
    candidate, with one degree of freedom less than data sets and the covariance that the standard
    errors of all pairs imply. Of two candidates it is one less the probability of being worse.

    Args:
        pairs: Of every two candidates, first minus second.
        candidates: In any order.
        margin: Half the width of the region of practical equivalence.
        draws: From the posterior.
        seed: Of these draws.

    Raises:
        DataError: a pair is missing.

    >>> pair = over_data_sets(np.array([0.02, 0.03, 0.04]), np.array([0.01, 0.01, 0.01]))
    >>> found = practically_best({(0, 1): pair}, [0, 1])
    >>> round(found[0], 2), round(found[1], 2)
    (0.99, 0.04)
    """
    reference, *others = candidates
    both = {frozenset(pair): found for pair, found in pairs.items()}
    signs = dict.fromkeys(pairs, 1) | {pair[::-1]: -1 for pair in pairs}
    try:
        centre = [
            signs[each, reference] * both[frozenset((each, reference))].difference
            for each in others
        ]
        variance = {
            frozenset((one, other)): both[frozenset((one, other))].standard_error ** 2
            for place, one in enumerate(candidates)
            for other in candidates[place + 1 :]
        }
    except KeyError:
        raise DataError(
            "some candidates were not compared with each other, so the best of them is not known"
        ) from None
    to_first = np.array([variance[frozenset((each, reference))] for each in others])
    between = np.array([[variance.get(frozenset((a, b)), 0.0) for a in others] for b in others])
    covariance = (to_first[:, None] + to_first[None] - between) / 2
    values, vectors = np.linalg.eigh(covariance)  # of standard errors of pairs, each by itself
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    degrees = min(found.data_sets for found in pairs.values()) - 1
    random = np.random.default_rng(seed)
    normal = random.normal(size=(draws, len(others))) @ root.T
    scale = np.sqrt(degrees / random.chisquare(degrees, size=(draws, 1)))
    means = np.concatenate([np.zeros((draws, 1)), np.array(centre) + normal * scale], axis=1)
    within = means >= means.max(axis=1, keepdims=True) - margin
    return dict(zip(candidates, map(float, within.mean(axis=0)), strict=True))
