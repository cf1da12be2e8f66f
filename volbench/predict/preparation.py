"""Preprocessing of new volumes as in training, in a temporary cache."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float16

from volbench._utils.process_pool import each
from volbench._utils.text import grouped
from volbench.data.cache.packed_voxels import Prepared, PreparedCase
from volbench.data.cache.writing import CacheDescription, write_prepared
from volbench.data.preparation.case import CaseGeometry, CaseTask, load, make
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
        folder: An empty folder for what is in between; it must outlive the result.
        check: Says why a volume that could be read cannot be predicted.
        jobs: Processes at most.
        on_case: Called with the number of volumes prepared and their total.

    Raises:
        DataError: a volume is missing, damaged or unlike those that the run was trained on.
    """
    options, channels = trained.preprocessing, trained.channels
    parts = [
        CaseTask(case, channels, options, folder / f"{number}.npz")
        for number, case in enumerate(cases)
    ]
    broken: list[str] = []
    for done, reason in enumerate(each(make, parts, jobs=jobs), start=1):
        broken += [reason] if reason else []
        if on_case:
            on_case(done, len(parts))
    _refuse(broken, len(cases))
    facts = [load(part)[1] for part in parts]
    found = ((case, check(case, known)) for case, known in zip(cases, facts, strict=True))
    _refuse([f"case {case.name}: {reason}" for case, reason in found if reason], len(cases))

    def volumes() -> Iterator[Float16[np.ndarray, "_ channel size size"]]:
        for part in parts:
            yield load(part)[0]

    description = CacheDescription(
        digest="",
        preprocessing=options,
        source="volumes to predict",
        classes=trained.classes,
        channels=trained.channels,
        card=Card("volumes to predict", "", ""),
    )
    prepared = [
        _case(case, known, every_slice=trained.by_slice)
        for case, known in zip(cases, facts, strict=True)
    ]
    return write_prepared(folder / "packed", description, prepared, volumes())


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
