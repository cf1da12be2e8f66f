"""Feature sets of the shortcut baselines: geometry, ROI volume, intensity, strata."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from volbench.audit.columns import Column, is_identifier, number_column, text_column
from volbench.audit.intensity import OnCase, intensity_columns
from volbench.data.cache.packed_voxels import Prepared, PreparedCase

GEOMETRY, POSITION, ROI, INTENSITY, STRATA, EVERYTHING = (
    "geometry",
    "position",
    "ROI volume",
    "intensity",
    "strata",
    "everything",
)
STRATUM = "stratum "
"""Stands before the name of a column that is a feature set of its own."""

IDENTIFIER = "nearly a name: one value per patient"
CONSTANT = "one value only"


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """Columns that a model gets together.

    Attributes:
        note: What a reader must know of it; may be empty.
        sifted: Whether columns that nearly are the label are left out of it.
    """

    name: str
    columns: tuple[Column, ...]
    note: str = ""
    sifted: bool = False


def feature_sets(prepared: Prepared, on_case: OnCase | None = None) -> tuple[FeatureSet, ...]:
    """List the feature sets of a data set; single columns stand before those that join them.

    Sets that the data do not have (no mask, no strata) are left out.
    """
    cases = prepared.cases
    base = [FeatureSet(GEOMETRY, geometry_columns(cases))]
    if position := header_columns(cases, placed=True):
        base.append(FeatureSet(POSITION, position))
    if any(case.roi_mm3 is not None for case in cases):
        base.append(FeatureSet(ROI, roi_columns(cases)))
    base.append(FeatureSet(INTENSITY, intensity_columns(prepared, on_case)))
    strata = stratum_sets(cases)
    single = tuple(column for one in strata for column in one.columns)
    joined = [FeatureSet(STRATA, single, sifted=True)] if len(strata) > 1 else []
    every = tuple(column for one in base for column in one.columns) + single
    return (*base, *strata, *joined, FeatureSet(EVERYTHING, every, sifted=True))


def meaning(features: str) -> str:
    """Say in words what a feature set knows."""
    if features.startswith(STRATUM):
        return f"the column {features.removeprefix(STRATUM)} of the manifest, by itself"
    return {
        GEOMETRY: "shape, spacing, plane and all else that the header says; no voxel",
        POSITION: "where the first voxel lies in the scanner, as the header says; no voxel",
        ROI: "how large the mask is; no voxel of the image",
        INTENSITY: "how bright the volume is as a whole; no shape, no place",
        STRATA: "all those columns of the manifest together",
        EVERYTHING: "all of this together",
    }[features]


def geometry_columns(cases: Sequence[PreparedCase]) -> tuple[Column, ...]:
    """Stored shape and spacing, the physical size that follows, and what else the header says.

    That is the plane, the kind of file, and whatever of ``formats.header_facts`` varies: how axes
    are oriented, the type of the voxels, slope, parameters of the acquisition.
    """
    columns = []
    for axis, name in enumerate(("slice", "row", "column")):
        shape = [case.stored_shape[axis] for case in cases]
        spacing = [case.stored_spacing_mm[axis] for case in cases]
        extent = [count * mm for count, mm in zip(shape, spacing, strict=True)]
        columns += [
            number_column(f"{name}s", shape),
            number_column(f"{name} spacing mm", spacing),
            number_column(f"{name} extent mm", extent),
        ]
    for name, values in (
        ("plane", [case.plane or "" for case in cases]),
        ("file type", [case.file_type or "" for case in cases]),
    ):
        if any(values):
            columns.append(Column(name, levels=tuple(values)))
    return (*columns, *header_columns(cases, placed=False))


def header_columns(cases: Sequence[PreparedCase], *, placed: bool) -> tuple[Column, ...]:
    """What of the headers is not the same in every case.

    Args:
        cases: In any order.
        placed: Where volumes lie, or else everything but that.
    """
    found = []
    for name in sorted({name for case in cases for name in case.header}):
        cells = [case.header.get(name, "") for case in cases]
        if name.startswith("origin ") == placed and len(set(cells)) > 1:
            found.append(text_column(name, cells))
    return tuple(found)


def roi_columns(cases: Sequence[PreparedCase]) -> tuple[Column, ...]:
    """Volume of the mask and its logarithm; a case without a mask is a gap."""
    volumes = [case.roi_mm3 for case in cases]
    logs = [math.log(volume) if volume else None for volume in volumes]
    return number_column("ROI mm3", volumes), number_column("log ROI mm3", logs)


def stratum_sets(cases: Sequence[PreparedCase]) -> list[FeatureSet]:
    """One set per column of the manifest."""
    patients = [case.patient for case in cases]
    found = []
    for name in sorted({name for case in cases for name in case.strata}):
        cells = [case.strata.get(name, "") for case in cases]
        column = text_column(STRATUM + name, cells)
        note = IDENTIFIER if is_identifier(cells, patients) else ""
        note = CONSTANT if column.values == 1 else note
        found.append(FeatureSet(column.name, (column,), note))
    return found
