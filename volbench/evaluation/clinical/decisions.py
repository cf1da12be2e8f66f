"""Decisions at a threshold: net benefit, predictive values at a prevalence, expected cost."""

import numpy as np
from jaxtyping import Float, Int

from volbench.errors import UsageError


def net_benefit(
    labels: Int[np.ndarray, " item"],
    probabilities: Float[np.ndarray, " item"],
    thresholds: Float[np.ndarray, " threshold"],
    *,
    weights: Float[np.ndarray, "resample item"] | None = None,
) -> Float[np.ndarray, "resample threshold"]:
    r"""Net benefit of treating whoever is at or above a threshold (Vickers & Elkin, 2006).

    $\frac{TP}{n} - \frac{FP}{n} \frac{t}{1 - t}$: true positives, less false positives at the
    exchange rate that the threshold stands for. Treating nobody has 0; treating all is what
    probabilities of 1 give.

    Args:
        labels: 0 or 1.
        probabilities: Of class 1.
        thresholds: Each above 0 and below 1.
        weights: How often each case counts, one row per draw of a bootstrap; left out, once.

    Raises:
        UsageError: a threshold is not between 0 and 1.

    >>> net_benefit(np.array([1, 0, 1, 0]), np.array([.9, .8, .4, .1]), np.array([0.5]))
    array([[0.]])
    """
    if not ((thresholds > 0) & (thresholds < 1)).all():
        raise UsageError(f"threshold {thresholds} of a decision curve is not between 0 and 1")
    drawn = np.ones((1, len(labels))) if weights is None else weights
    called = probabilities[:, None] >= thresholds[None]
    odds = thresholds / (1 - thresholds)
    worth = called * np.where(labels == 1, 1.0, 0.0)[:, None]
    worth = worth - called * np.where(labels == 0, 1.0, 0.0)[:, None] * odds
    return np.asarray((drawn @ worth) / drawn.sum(axis=1, keepdims=True))


def predictive_values(
    sensitivity: float, specificity: float, prevalence: float
) -> tuple[float, float]:
    """Positive and negative predictive value at a prevalence, by Bayes (Altman & Bland, 1994b).

    NaN where nobody would be called positive, or negative.

    Raises:
        UsageError: the prevalence is not between 0 and 1.

    >>> tuple(round(value, 3) for value in predictive_values(0.9, 0.8, 0.1))
    (0.333, 0.986)
    """
    if not 0 < prevalence < 1:
        raise UsageError(f"prevalence {prevalence} is not between 0 and 1")
    true_positive, false_positive = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    true_negative, false_negative = specificity * (1 - prevalence), (1 - sensitivity) * prevalence
    positive, negative = true_positive + false_positive, true_negative + false_negative
    return (
        true_positive / positive if positive else float("nan"),
        true_negative / negative if negative else float("nan"),
    )


def expected_cost(
    sensitivity: float, specificity: float, prevalence: float, *, missed: float, alarm: float = 1.0
) -> float:
    """Mean cost of a patient, where a missed one and a false alarm cost so much.

    >>> round(expected_cost(0.9, 0.8, 0.1, missed=10), 2)
    0.28
    """
    return missed * (1 - sensitivity) * prevalence + alarm * (1 - specificity) * (1 - prevalence)
