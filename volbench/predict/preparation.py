"""Preprocessing of new volumes as in training, in a temporary cache."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

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


def prepare_volumes(
    cases: Sequence[Case],
    trained: TrainedRun,
    folder: Path,
    *,
    check: Callable[[Case, CaseGeometry], str | None],
    jobs: int = 1,
    on_case: OnStep | None = None,
) -> Prepared:
    """Read, check and prepare volumes; all of them are refused if one cannot be used.

    Args:
        cases: Sorted in no particular way; the result keeps their order.
        trained: Whose preprocessing to use.
        folder: An empty folder for the prepared volumes; it must outlive the result.
        check: Says why a volume that could be read cannot be predicted.
        jobs: Processes at most.
        on_case: Called with the number of volumes prepared and their total.

    Raises:
        DataError: a volume is missing, damaged or unlike those that the run was trained on.
    """
    options = trained.preprocessing
    prepare = partial(try_case, options=options, channels=trained.channels)
    prepared: list[PreparedCase] = []

    def volumes() -> Iterator[Float16[np.ndarray, "_ channel size size"]]:
        broken: list[str] = []
        unlike: list[str] = []
        found = each(prepare, cases, jobs=jobs, ordered=True)
        for done, (case, volume) in enumerate(zip(cases, found, strict=True), start=1):
            if isinstance(volume, str):
                broken.append(volume)
            elif reason := check(case, volume.geometry):
                unlike.append(f"case {case.name}: {reason}")
            elif not (broken or unlike):  # else nothing is predicted, so nothing is kept
                prepared.append(_case(case, volume.geometry, every_slice=trained.by_slice))
                yield volume.voxels
            if on_case:
                on_case(done, len(cases))
        _refuse(broken or unlike, len(cases))

    description = CacheDescription(
        digest="",
        preprocessing=options,
        source="volumes to predict",
        classes=trained.classes,
        channels=trained.channels,
        card=Card("volumes to predict", "", ""),
    )
    return write_prepared(folder, description, prepared, volumes())


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
