"""Preprocessing of new volumes as in training, in a temporary cache."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from jaxtyping import Float16

from volbench._utils.process_pool import each
from volbench._utils.text import grouped
from volbench.data.cache.packed_voxels import Prepared, PreparedCase
from volbench.data.cache.writing import CacheDescription, write_prepared
from volbench.data.preparation.case import CaseGeometry, try_case
from volbench.errors import DataError
from volbench.interfaces import Card, Case
from volbench.predict.trained_run import TrainedRun

SHOWN = 3
"""Volumes that a message quotes; the others are counted."""

OnStep = Callable[[int, int], object]
"""Called with how many are done and how many there are."""


class VolumePreparation:
    """Prepares new volumes, once for all runs that prepare them alike.

    A context manager, at whose end the prepared volumes are deleted.
    """

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="volbench-predict-")
        self._made: list[_Made] = []

    def __enter__(self) -> "VolumePreparation":
        return self

    def __exit__(self, *error: object) -> None:
        self._made.clear()
        self._folder.cleanup()

    def prepare(
        self,
        cases: Sequence[Case],
        trained: TrainedRun,
        *,
        check: Callable[[Case, CaseGeometry], str | None],
        jobs: int = 1,
        on_case: OnStep | None = None,
    ) -> Prepared:
        """Read, check and prepare volumes; all of them are refused if one cannot be used.

        Args:
            cases: Sorted in no particular way; the result keeps their order.
            trained: Whose preprocessing to use.
            check: Says why a volume that could be read cannot be predicted.
            jobs: Processes at most.
            on_case: Called with the number of volumes prepared and their total.

        Raises:
            DataError: a volume is missing, damaged or unlike those that the run was trained on.
        """
        made = next((made for made in self._made if made.serves(cases, trained)), None)
        if made is None:
            folder = Path(self._folder.name) / str(len(self._made))
            made = _prepare(cases, trained, folder, jobs=jobs, on_case=on_case)
            self._made.append(made)
        pairs = zip(made.cases, made.geometries, strict=True)
        reasons = ((case, check(case, geometry)) for case, geometry in pairs)
        _refuse([f"case {case.name}: {why}" for case, why in reasons if why], len(cases))
        return made.prepared


@dataclass(frozen=True, eq=False)
class _Made:
    """What was prepared, and for which runs it will do."""

    cases: Sequence[Case]
    trained: TrainedRun
    geometries: Sequence[CaseGeometry]
    prepared: Prepared

    def serves(self, cases: Sequence[Case], trained: TrainedRun) -> bool:
        """Whether another run would prepare these cases to the same bits."""
        return self.cases == cases and all(
            getattr(self.trained, name) == getattr(trained, name)
            for name in ("preprocessing", "channels", "classes", "by_slice")
        )


def _prepare(
    cases: Sequence[Case], trained: TrainedRun, folder: Path, *, jobs: int, on_case: OnStep | None
) -> _Made:
    options = trained.preprocessing
    prepare = partial(try_case, options=options, channels=trained.channels)
    described: list[PreparedCase] = []
    geometries: list[CaseGeometry] = []

    def volumes() -> Iterator[Float16[np.ndarray, "_ channel size size"]]:
        broken: list[str] = []
        found = each(prepare, cases, jobs=jobs, ordered=True)
        for done, (case, volume) in enumerate(zip(cases, found, strict=True), start=1):
            if isinstance(volume, str):
                broken.append(volume)
            elif not broken:  # else nothing is predicted, so nothing is kept
                described.append(_case(case, volume.geometry, every_slice=trained.by_slice))
                geometries.append(volume.geometry)
                yield volume.voxels
            if on_case:
                on_case(done, len(cases))
        _refuse(broken, len(cases))

    description = CacheDescription(
        digest="",
        preprocessing=options,
        source="volumes to predict",
        classes=trained.classes,
        channels=trained.channels,
        card=Card("volumes to predict", "", ""),
    )
    prepared = write_prepared(folder, description, described, volumes())
    return _Made(list(cases), trained, geometries, prepared)


def _case(case: Case, facts: CaseGeometry, *, every_slice: bool) -> PreparedCase:
    """Describe a case as training does; the label is a stand-in that nothing looks at."""
    prepared = PreparedCase(
        name=case.name,
        patient=case.patient,
        label=0,
        slices=facts.slices,
        spacing_mm=facts.spacing_mm,
        representative=facts.representative,
        strata={},
        fold=None,
        stored_shape=facts.stored_shape,
        stored_spacing_mm=facts.stored_spacing_mm,
        roi_mm3=facts.roi_mm3,
        plane=facts.plane,
        affine=facts.affine,
    )
    if every_slice and not prepared.representative:
        return replace(prepared, representative=tuple(range(facts.slices)))
    return prepared


def _refuse(reasons: Sequence[str], total: int) -> None:
    if len(reasons) == 1:
        raise DataError(reasons[0])
    if reasons:
        lines = grouped(sorted(reasons))
        quoted = "; ".join(lines[:SHOWN])
        more = f"; and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
        raise DataError(f"{len(reasons)} of {total} volumes cannot be predicted: {quoted}{more}")
