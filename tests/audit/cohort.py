"""Tiny prepared cohorts in which nothing tells the label but what a test plants."""

import numpy as np

from tests.helpers.small import small_case
from volbench.data.cache.writing import CacheDescription, write_prepared
from volbench.data.preprocessing.options import Preprocessing
from volbench.interfaces import Card

SIZE = 4


def noise(case, random):
    """Voxels of the same distribution in every case."""
    return random.normal(size=(case.slices, 1, SIZE, SIZE)).astype(np.float16)


def cohort(folder, *, cases=80, classes=("T2", "T3"), plant=None, voxels=noise, seed=0):
    """Write a cohort; ``plant(number, label, random)`` gives fields of a case.

    Labels alternate, so that folds are balanced; slices vary with no regard to them.
    """
    random = np.random.default_rng(seed)
    listed = []
    for number in range(cases):
        label = number % len(classes)
        slices = 2 + number % 7 % 3  # 7 and the number of classes have no common factor
        fields = {"strata": {}, "stored_shape": (slices, 30, 30), "label": label, "slices": slices}
        fields |= plant(number, label, random) if plant else {}
        listed.append(small_case(number, **fields))
    description = CacheDescription(
        digest=f"{seed:064d}",
        preprocessing=Preprocessing(size=SIZE, crop="none"),
        source="cohort",
        classes=classes,
        channels=("image",),
        card=Card(title="cohort", licence="none", citation="none"),
    )
    return write_prepared(folder, description, listed, (voxels(case, random) for case in listed))
