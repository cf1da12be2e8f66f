"""Stratification: patients of each class spread evenly over parts, whole."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from volbench.data.cache.packed_voxels import PreparedCase


def stratified(cases: Sequence[PreparedCase], parts: int, seed: int) -> list[int]:
    """A part for each case; patients of a class are spread evenly, whole."""
    if len({case.patient for case in cases}) < len(cases):
        return _deal_patients(cases, parts, seed)
    from sklearn.model_selection import StratifiedGroupKFold  # what trains a fold divides nothing

    labels = np.array([case.label for case in cases])
    patients = np.array([case.patient for case in cases])
    splitter = StratifiedGroupKFold(parts, shuffle=True, random_state=seed % 2**32)
    assigned = np.zeros(len(cases), dtype=int)
    for number, (_, held_out) in enumerate(splitter.split(labels, labels, patients)):
        assigned[held_out] = number
    return [int(number) for number in assigned]


def _deal_patients(cases: Sequence[PreparedCase], parts: int, seed: int) -> list[int]:
    """Deal patients to the part with the fewest of their rarest class, then with the fewest cases.

    Counting cases, as scikit-learn's ``StratifiedGroupKFold`` does, leaves parts that differ by
    several patients of a class where patients have several cases. Patients of several classes go
    first, so that those of one class can even out what they leave; of those, who has most cases.
    """
    classes: dict[str, set[int]] = defaultdict(set)
    for case in cases:
        classes[case.patient].add(case.label)
    size = Counter(case.patient for case in cases)
    total = patients_per_class(cases)
    patients = sorted(classes)
    random = np.random.default_rng(seed)
    shuffled = dict(zip(patients, random.permutation(len(patients)).tolist(), strict=True))
    rarest = {patient: min(of, key=lambda label: (total[label], label))
              for patient, of in classes.items()}  # fmt: skip
    order = sorted(
        patients,
        key=lambda each: (-len(classes[each]), total[rarest[each]], -size[each], shuffled[each]),
    )
    held = [Counter[int]() for _ in range(parts)]
    filled = [0] * parts
    first = random.permutation(parts).tolist()
    part_of = {}
    for patient in order:
        part = min(
            range(parts),
            key=lambda each: (
                held[each][rarest[patient]],
                sum(held[each][label] for label in classes[patient]),
                filled[each],
                first[each],
            ),
        )
        held[part].update(classes[patient])
        filled[part] += size[patient]
        part_of[patient] = part
    return [part_of[case.patient] for case in cases]


def patients_per_class(cases: Iterable[PreparedCase]) -> dict[int, int]:
    """Number of patients with a case of each class."""
    patients: dict[int, set[str]] = defaultdict(set)
    for case in cases:
        patients[case.label].add(case.patient)
    return {label: len(names) for label, names in patients.items()}


def patients_by_classes(cases: Sequence[PreparedCase]) -> list[list[str]]:
    """Patients by the set of their classes, sorted."""
    classes: dict[str, set[int]] = defaultdict(set)
    for case in cases:
        classes[case.patient].add(case.label)
    strata: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for patient in sorted(classes):
        strata[tuple(sorted(classes[patient]))].append(patient)
    return [strata[of] for of in sorted(strata)]
