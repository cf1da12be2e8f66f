"""Range of the training data: spacing, in-plane size, number of slices."""

from collections.abc import Sequence
from dataclasses import dataclass

from volbench._utils.text import plural
from volbench.data.preparation.case import CaseGeometry
from volbench.runs.cases_file import CaseRow
from volbench.runs.load import LoadedRun

TOLERANCE = 0.1
"""Part by which a spacing may lie beyond those of the training cases."""

FEWEST = 0.5
"""Part of the fewest slices of a training case that a volume must have."""

AXES = (
    "distance between slices",
    "distance between rows",
    "distance between columns",
)


@dataclass(frozen=True)
class Range:
    """What the training cases had.

    Attributes:
        low_mm: Smallest distance between slices, rows and columns.
        high_mm: Largest.
        fewest: Slices of the volume that has the fewest.
        planes: Planes the slices lay in; empty if that was not kept.
    """

    low_mm: tuple[float, ...]
    high_mm: tuple[float, ...]
    fewest: int
    planes: tuple[str, ...]


def training_rows(run: LoadedRun, folds: Sequence[int]) -> list[CaseRow]:
    """The cases that at least one of the folds was trained on."""
    return [row for row in run.case_rows if any(fold not in row.folds for fold in folds)]


def training_range(run: LoadedRun, folds: Sequence[int]) -> Range | None:
    """Measure the training cases; None for a run that did not keep what they were like."""
    rows = training_rows(run, folds)
    if not rows:
        return None
    spacings = list(zip(*(row.spacing_mm for row in rows), strict=True))
    return Range(
        low_mm=tuple(map(min, spacings)),
        high_mm=tuple(map(max, spacings)),
        fewest=min(row.shape[0] for row in rows),
        planes=tuple(sorted({row.plane for row in rows if row.plane})),
    )


def spacing_problem(facts: CaseGeometry, trained: Range) -> str | None:
    """Say in which spacing a volume is unlike the training cases; None if it is like them."""
    for axis, found, low, high in zip(
        AXES, facts.stored_spacing_mm, trained.low_mm, trained.high_mm, strict=True
    ):
        if not low * (1 - TOLERANCE) <= found <= high * (1 + TOLERANCE):
            seen = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
            return (
                f"{axis} {found:.4g} mm, the run was trained on {seen} mm "
                f"({100 * TOLERANCE:g} % beyond is accepted)"
            )
    return None


def slices_problem(facts: CaseGeometry, trained: Range) -> str | None:
    """Say that a volume has too few slices to be one of the kind; None if it has enough."""
    found = facts.stored_shape[0]
    if found >= FEWEST * trained.fewest:
        return None
    return (
        f"{plural(found, 'slice')}, the run was trained on {trained.fewest} or more; "
        "is this the right series, and all of it?"
    )


def plane_problem(facts: CaseGeometry, trained: Range) -> str | None:
    """Say that the slices lie in another plane; None if not, or if nothing is known of it."""
    if not trained.planes or facts.plane in (None, *trained.planes):
        return None
    return f"{facts.plane} slices, the run was trained on {' and '.join(trained.planes)} ones"
