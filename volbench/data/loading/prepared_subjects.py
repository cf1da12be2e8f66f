"""Prepared cases as TorchIO subjects: the voxels that the network receives."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torchio

from volbench.data.cache.packed_voxels import Prepared
from volbench.data.subjects.scan import to_subject
from volbench.types import Scan


def prepared_subject(prepared: Prepared, index: int) -> torchio.Subject:
    """Make a subject of one case.

    Width runs along the columns of a slice, height along its rows, depth along the slices. Images
    are called as the channels, the region of interest ``mask``; ``case``, ``patient``, ``label``,
    ``representative`` and the strata are attributes.

    Args:
        prepared: The cache.
        index: Place of the case in ``prepared.cases``.
    """
    case = prepared.cases[index]
    scan = Scan(
        image=np.moveaxis(prepared.volume(index), 1, 0).astype(np.float32),
        spacing_mm=case.spacing_mm,
        mask=prepared.mask(index),
        representative=case.representative,
        plane=case.plane,
        affine=case.matrix(),
    )
    attributes: dict[str, object] = {
        **case.strata,
        "case": case.name,
        "patient": case.patient,
        "label": case.label,
        "class_name": prepared.classes[case.label],
        "representative": list(case.representative),
    }
    return to_subject(scan, prepared.channels, attributes)


class PreparedSubjects(torchio.SubjectsDataset):  # type: ignore[misc]  # mypy does not read it
    """Prepared cases as a TorchIO data set; a case is read from the cache when it is asked for.

    Args:
        prepared: The cache.
        indices: Places of the cases in ``prepared.cases``; all by default.
        transform: A TorchIO transform, applied to each subject.
    """

    def __init__(
        self,
        prepared: Prepared,
        indices: Iterable[int] | None = None,
        *,
        transform: Callable[[Any], Any] | None = None,
    ) -> None:
        chosen = range(len(prepared.cases)) if indices is None else indices
        super().__init__(_LazySubjects(prepared, chosen), transform=transform)

    @staticmethod
    def _parse_subjects_list(subjects_list: Iterable[torchio.Subject]) -> None:
        """Look at no subject: each of them would be read."""


class _LazySubjects(Sequence[torchio.Subject]):
    def __init__(self, prepared: Prepared, indices: Iterable[int]) -> None:
        self.prepared = prepared
        self.indices = tuple(map(int, indices))

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, place):  # type: ignore[no-untyped-def]  # a subject, or several of them
        if isinstance(place, slice):
            return _LazySubjects(self.prepared, self.indices[place])
        return prepared_subject(self.prepared, self.indices[place])
