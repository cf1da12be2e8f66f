"""Labels exchanged between patients: a check that the pipeline finds nothing where nothing is."""

import hashlib
from collections import defaultdict
from dataclasses import replace

import numpy as np

from volbench._utils.seeds import derive_seed
from volbench.data.cache.packed_voxels import Prepared
from volbench.experiment.experiment import PERMUTED


def permute_labels(prepared: Prepared, seed: int) -> Prepared:
    """Give every patient the labels of another one, drawn at random.

    These are other data: digest and source differ, so that no table holds rows of both. A patient
    with more cases than the one whose labels they get has these over again.

    Args:
        prepared: What is trained on; its voxels are untouched.
        seed: Of the exchange.
    """
    places: dict[str, list[int]] = defaultdict(list)
    for index, case in enumerate(prepared.cases):
        places[case.patient].append(index)
    patients = sorted(places)
    order = np.random.default_rng(derive_seed(seed, "permuted labels")).permutation(len(patients))
    labels = {}
    for patient, other in zip(patients, order.tolist(), strict=True):
        theirs = [prepared.cases[index].label for index in places[patients[other]]]
        for place, index in enumerate(places[patient]):
            labels[index] = theirs[place % len(theirs)]
    return replace(
        prepared,
        digest=hashlib.sha256(f"{prepared.digest} permuted {seed}".encode()).hexdigest(),
        source=f"{PERMUTED}{prepared.source}",
        cases=tuple(
            replace(case, label=labels[index]) for index, case in enumerate(prepared.cases)
        ),
    )
