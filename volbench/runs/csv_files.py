"""The CSV files of a run: predictions, history, splits, cases."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from volbench._utils.csv_text import csv_lines, csv_records, csv_text
from volbench.errors import StateError
from volbench.experiment.splits import Split, folds_of


class Grades(tuple[str, ...]):
    """Names of classes that are grades, from low to high; otherwise as any names of classes.

    >>> Grades(["T1", "T2"]) == ("T1", "T2")
    True
    """


@dataclass(frozen=True)
class Prediction:
    """One row of predictions.csv.

    Attributes:
        slice: Number of the slice at slice level, else None.
        probabilities: One per class, in the order of the classes.
    """

    case: str
    patient: str
    label: str
    fold: int
    slice: int | None
    probabilities: tuple[float, ...]


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


def predictions_csv(predictions: Iterable[Prediction], classes: Sequence[str]) -> str:
    """Show predictions as CSV; numbers keep every digit, so that they read back equal."""
    rows = list(predictions)
    by_slice = any(row.slice is not None for row in rows)
    header = ["case", "patient", "label", "fold", *(["slice"] if by_slice else [])]
    lines: list[list[object]] = [[*header, *(f"prob_{name}" for name in classes)]]
    for row in rows:
        place = [row.slice] if by_slice else []
        lines.append([row.case, row.patient, row.label, row.fold, *place, *row.probabilities])
    return csv_text(lines)


def read_predictions(text: str) -> tuple[list[Prediction], tuple[str, ...]]:
    """Read what `predictions_csv` wrote; return it with the names of the classes.

    Raises:
        ValueError: the text is something else.
    """
    records = csv_records(text)
    header = csv_lines(text)[:1]
    columns = [name for line in header for name in line if name.startswith("prob_")]
    if not columns or not {"case", "patient", "label", "fold"} <= set(header[0]):
        raise ValueError("it lacks the columns of predictions")
    rows = [
        Prediction(
            case=row["case"],
            patient=row["patient"],
            label=row["label"],
            fold=int(row["fold"]),
            slice=int(row["slice"]) if "slice" in row else None,
            probabilities=tuple(float(row[column]) for column in columns),
        )
        for row in records
    ]
    return rows, tuple(column.removeprefix("prob_") for column in columns)


VALIDATION_LOG_LOSS = "validation_log_loss"
"""Column of the history: log loss of the inner validation part, in which classes weigh the same.

It is of another kind than ``train_loss``, which is whatever loss the run trains with.
"""

FORMER_COLUMNS = {"validation_loss": VALIDATION_LOG_LOSS}
"""Columns of histories that were written under another name."""


def history_csv(history: Sequence[Mapping[str, float]]) -> str:
    """Show one row per epoch; a value that an epoch lacks stays empty."""
    names = list(dict.fromkeys(name for row in history for name in row))
    return csv_text([names, *([row.get(name, "") for name in names] for row in history)])


def splits_csv(split: Split, classes: Sequence[str]) -> str:
    """Show which fold holds out which case."""
    rows = [
        [case.name, case.patient, classes[case.label], fold]
        for case, fold in zip(split.cases, split.assigned, strict=True)
    ]
    return csv_text([["case", "patient", "label", "fold"], *rows])


@dataclass(frozen=True)
class SplitRow:
    """A row of splits.csv.

    Attributes:
        fold: The fold that holds the case out, several with semicolons between, or ``train`` or
            ``val``.
    """

    case: str
    patient: str
    label: str
    fold: str

    @property
    def folds(self) -> tuple[int, ...]:
        """Numbers of the folds that hold the case out."""
        return folds_of(self.fold)


def parse_splits(text: str) -> list[SplitRow]:
    """Understand the text of splits.csv.

    Raises:
        KeyError, ValueError: it is damaged.
    """
    rows = csv_records(text)
    return [SplitRow(row["case"], row["patient"], row["label"], row["fold"]) for row in rows]


def read_splits(path: Path) -> list[SplitRow]:
    """Read splits.csv.

    Raises:
        StateError: it is missing or damaged.
    """
    try:
        return parse_splits(path.read_bytes().decode("utf-8"))
    except (OSError, KeyError, ValueError) as error:
        raise StateError(f"{path} is missing or damaged ({error}); run again") from None


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
