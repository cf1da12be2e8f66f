"""Selective prediction: what the error rate is if the least sure cases go to a person.

El-Yaniv & Wiener (2010); the area under the risk-coverage curve, AURC, as in Geifman et al. (2019).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float


@dataclass(frozen=True)
class RiskCoverage:
    """The error rate among the surest cases, by how many of them are decided.

    Attributes:
        coverage: Share of the cases that are decided, from the surest one to all.
        risk: Share of wrong decisions among them.
        area: AURC, the mean risk over all coverages; lower is better.
        best_area: AURC if every wrong decision were less sure than every right one.
    """

    coverage: Float[np.ndarray, " item"]
    risk: Float[np.ndarray, " item"]
    area: float
    best_area: float


def risk_coverage(
    wrong: Bool[np.ndarray, " item"], confidence: Float[np.ndarray, " item"]
) -> RiskCoverage:
    """Decide the surest cases first. Cases of equal confidence share their mean error.

    >>> curve = risk_coverage(np.array([False, True, False]), np.array([0.9, 0.6, 0.8]))
    >>> [round(float(risk), 3) for risk in curve.risk]
    [0.0, 0.0, 0.333]
    """
    order = np.argsort(-confidence, kind="stable")
    _, group = np.unique(-confidence[order], return_inverse=True)
    errors = wrong[order].astype(float)
    # Which of several equally sure cases comes first is chance; each counts as their mean.
    errors = (np.bincount(group, errors) / np.bincount(group))[group]
    risk = _risk(errors)
    best = _risk(np.sort(wrong.astype(float)))
    coverage = np.arange(1, len(wrong) + 1) / len(wrong)
    return RiskCoverage(coverage, risk, float(risk.mean()), float(best.mean()))


def _risk(errors: Float[np.ndarray, " item"]) -> Float[np.ndarray, " item"]:
    return np.asarray(np.cumsum(errors) / np.arange(1, len(errors) + 1))
