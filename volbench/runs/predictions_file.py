"""predictions.csv: one row per prediction of a fold, written and read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from volbench._utils.csv_text import csv_lines, csv_records, csv_text


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
