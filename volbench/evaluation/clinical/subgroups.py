"""The largest difference of AUC between subgroups, against what chance alone gives."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from volbench.errors import DataError
from volbench.evaluation.metrics import area_under_curve

FEWEST = 5
"""Patients of each class that a group needs."""


@dataclass(frozen=True)
class SubgroupGap:
    """The groups with the largest and the smallest AUC.

    Attributes:
        best: Name of the group with the largest one.
        worst: Name of that with the smallest one.
        gap: Difference of the two.
        p: Share of permutations with a gap as large between any two groups; the data count as one.
        areas: AUC of each group that has enough patients.
    """

    best: str
    worst: str
    gap: float
    p: float
    areas: dict[str, float]


def largest_gap(
    labels: Int[np.ndarray, " item"],
    probabilities: Float[np.ndarray, " item"],
    groups: Shaped[np.ndarray, " item"],
    *,
    clusters: Shaped[np.ndarray, " item"] | None = None,
    permutations: int = 1000,
    seed: int = 0,
) -> SubgroupGap:
    """Test the largest gap against those of groups drawn at random, of the same sizes.

    Patients are dealt to groups anew within each class, whole. As the largest of all gaps is taken
    each time, looking at many groups is accounted for.

    Args:
        labels: 0 or 1.
        probabilities: Of class 1.
        groups: The group of each case; a patient has one.
        clusters: The patient of each case; left out, each case is a patient.
        permutations: How many.
        seed: Of the drawing.

    Raises:
        DataError: fewer than two groups have five patients of each class.
    """
    scores = np.stack([1 - probabilities, probabilities], axis=1)
    patient = np.arange(len(labels)) if clusters is None else np.unique(
        clusters, return_inverse=True)[1]  # fmt: skip
    counted = _one_of_each_class(patient, labels)
    found = _areas(labels, scores, groups, counted)
    if len(found) < 2:
        raise DataError(f"subgroups: fewer than two have {FEWEST} patients of each class")
    best, worst = max(found, key=found.__getitem__), min(found, key=found.__getitem__)
    gap = found[best] - found[worst]
    _, first = np.unique(patient, return_index=True)
    random = np.random.default_rng(seed)
    as_large = 0
    for _ in range(permutations):
        dealt = groups[first]
        for label in (0, 1):
            own = np.flatnonzero(labels[first] == label)
            dealt[own] = dealt[random.permutation(own)]
        areas = _areas(labels, scores, dealt[patient], counted)
        # Groups that chance has left too small say nothing; the others do.
        as_large += len(areas) > 1 and max(areas.values()) - min(areas.values()) >= gap - 1e-12
    return SubgroupGap(best, worst, gap, (as_large + 1) / (permutations + 1), found)


def _one_of_each_class(patient: np.ndarray, labels: np.ndarray) -> Bool[np.ndarray, " item"]:
    """Mark one item of each class of a patient, so that marks count patients."""
    marked = np.zeros(len(labels), dtype=bool)
    marked[np.unique(np.stack([patient, labels]), axis=1, return_index=True)[1]] = True
    return marked


def _areas(
    labels: np.ndarray, scores: np.ndarray, groups: np.ndarray, counted: np.ndarray
) -> dict[str, float]:
    found = {}
    for group in np.unique(groups):
        inside = groups == group
        if min(np.bincount(labels[inside & counted], minlength=2)) >= FEWEST:
            area = area_under_curve(labels[inside], scores[inside])
            if not math.isnan(area):
                found[str(group)] = float(area)
    return found
