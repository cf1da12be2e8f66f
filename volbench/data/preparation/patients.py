"""Patients of a data set by class: what a design is planned with, read without any voxel."""

from pathlib import Path

from volbench.data.cache.packed_voxels import is_prepared, open_prepared
from volbench.data.sources import open_dataset


def patients_of(data: str) -> dict[str, set[str]]:
    """Patients of each class, in the order of the classes; one may be in several.

    Args:
        data: A manifest, a spec, or a prepared folder.

    Raises:
        VolbenchError: it is none of these.

    >>> {name: len(each) for name, each in patients_of("phantom(patients=20)").items()}
    {'T2': 6, 'T3': 14}
    """
    if is_prepared(Path(data)):
        prepared = open_prepared(Path(data))
        labelled = [(prepared.classes[case.label], case.patient) for case in prepared.cases]
        classes = prepared.classes
    else:
        dataset, _ = open_dataset(data)
        labelled = [(case.label, case.patient) for case in dataset.cases()]
        classes = dataset.classes
    return {name: {patient for label, patient in labelled if label == name} for name in classes}
