"""cases.csv: what is known of each case beside its voxels, written and read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from volbench._utils.csv_text import csv_lines, csv_records, csv_text
from volbench.experiment.splits import Split, folds_of

_CASE_COLUMNS = (
    "case",
    "patient",
    "label",
    "fold",
    "slices",
    "rows",
    "columns",
    "slice_mm",
    "row_mm",
    "column_mm",
    "roi_mm3",
)


@dataclass(frozen=True)
class CaseRow:
    """One row of cases.csv: what is known of a case beside its voxels.

    Attributes:
        shape: Slices, rows and columns as stored, before preparation.
        spacing_mm: Distance between slices, rows and columns as stored.
        fold: The fold that holds it out, several with semicolons between, or ``train`` or ``val``.
        roi_mm3: Volume of the region of interest; None without a mask.
        strata: Columns to report by, without the prefix that they have in the file.
        plane: That of the slices: axial, coronal or sagittal; None if it was not kept.
    """

    case: str
    patient: str
    label: str
    fold: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    roi_mm3: float | None
    strata: Mapping[str, str] = field(default_factory=dict[str, str])
    plane: str | None = None

    @property
    def folds(self) -> tuple[int, ...]:
        """Numbers of the folds that hold it out."""
        return folds_of(self.fold)


STRATUM = "stratum_"
"""Prefix of the columns of cases.csv that come from the data set's own."""


def cases_csv(split: Split, classes: Sequence[str]) -> str:
    """Show what is known of each case; a stratum that a case lacks stays empty."""
    strata = sorted({name for case in split.cases for name in case.strata})
    rows: list[list[object]] = [
        [
            *(case.name, case.patient, classes[case.label], fold),
            *case.stored_shape,
            *case.stored_spacing_mm,
            "" if case.roi_mm3 is None else case.roi_mm3,
            case.plane or "",
            *(case.strata.get(name, "") for name in strata),
        ]
        for case, fold in zip(split.cases, split.assigned, strict=True)
    ]
    return csv_text([[*_CASE_COLUMNS, "plane", *(STRATUM + name for name in strata)], *rows])


def read_cases(text: str) -> list[CaseRow]:
    """Read what `cases_csv` wrote.

    Raises:
        ValueError: the text is something else.
    """
    records = csv_records(text)
    if missing := set(_CASE_COLUMNS) - set((csv_lines(text) or [[]])[0]):
        raise ValueError(f"it has no column {sorted(missing)[0]!r}")
    return [
        CaseRow(
            case=row["case"],
            patient=row["patient"],
            label=row["label"],
            fold=row["fold"],
            shape=(int(row["slices"]), int(row["rows"]), int(row["columns"])),
            spacing_mm=(float(row["slice_mm"]), float(row["row_mm"]), float(row["column_mm"])),
            roi_mm3=float(row["roi_mm3"]) if row["roi_mm3"] else None,
            plane=row.get("plane") or None,
            strata={
                name.removeprefix(STRATUM): value
                for name, value in row.items()
                if name.startswith(STRATUM)
            },
        )
        for row in records
    ]
