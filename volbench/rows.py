"""The CSV files of a run: predictions, history, splits."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from volbench.splits import Split


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
    return _csv(lines)


def read_predictions(text: str) -> tuple[list[Prediction], tuple[str, ...]]:
    """Read what `predictions_csv` wrote; return it with the names of the classes.

    Raises:
        ValueError: the text is something else.
    """
    reader = csv.DictReader(io.StringIO(text))
    columns = [name for name in reader.fieldnames or () if name.startswith("prob_")]
    rows = [
        Prediction(
            case=row["case"],
            patient=row["patient"],
            label=row["label"],
            fold=int(row["fold"]),
            slice=int(row["slice"]) if "slice" in row else None,
            probabilities=tuple(float(row[column]) for column in columns),
        )
        for row in reader
    ]
    return rows, tuple(column.removeprefix("prob_") for column in columns)


def history_csv(history: Sequence[Mapping[str, float]]) -> str:
    """Show one row per epoch."""
    return _csv([list(history[0]), *([*row.values()] for row in history)])


def splits_csv(split: Split, classes: Sequence[str]) -> str:
    """Show which fold holds out which case."""
    rows = [
        [case.name, case.patient, classes[case.label], fold]
        for case, fold in zip(split.cases, split.assigned, strict=True)
    ]
    return _csv([["case", "patient", "label", "fold"], *rows])


def _csv(rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
