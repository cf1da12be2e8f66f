"""splits.csv: which fold holds out which case, written and read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from volbench._utils.csv_text import csv_records, csv_text
from volbench.errors import StateError
from volbench.experiment.splits import Split, folds_of


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
