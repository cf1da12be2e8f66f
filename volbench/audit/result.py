"""Result of an audit: held-out predictions per feature set and model, as CSV."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from volbench._utils.csv_text import csv_lines, csv_text
from volbench.runs.predictions_file import Prediction

NEARLY_THE_LABEL = 0.99
"""AUC of a single column from which on it is taken for another name of the label."""

COLUMNS = ("features", "model", "note", "case", "patient", "label", "fold")


@dataclass(frozen=True)
class AuditRow:
    """One feature set with one model.

    Attributes:
        features: Name of the feature set.
        model: ``logistic`` or ``forest``.
        note: What a reader must know of the set; may be empty.
        predictions: Of every held-out case, once, fold by fold.
    """

    features: str
    model: str
    note: str
    predictions: tuple[Prediction, ...]

    @property
    def folds(self) -> tuple[int, ...]:
        """Numbers of the folds."""
        return tuple(sorted({row.fold for row in self.predictions}))


@dataclass(frozen=True)
class Audit:
    """All rows of an audit, in the order of the feature sets.

    Attributes:
        classes: Names of the classes, in the order of their index.
    """

    classes: tuple[str, ...]
    rows: tuple[AuditRow, ...]

    def to_csv(self) -> str:
        """Show one line per feature set, model and case; numbers read back equal."""
        lines: list[list[object]] = [[*COLUMNS, *(f"prob_{name}" for name in self.classes)]]
        for row in self.rows:
            for one in row.predictions:
                place = (one.case, one.patient, one.label, one.fold)
                lines.append([row.features, row.model, row.note, *place, *one.probabilities])
        return csv_text(lines)

    @classmethod
    def from_csv(cls, text: str) -> "Audit":
        """Read what `to_csv` wrote.

        Raises:
            ValueError: the text is something else.
        """
        header, *lines = csv_lines(text) or [[]]
        names = header[len(COLUMNS) :]
        if tuple(header[: len(COLUMNS)]) != COLUMNS or not all(
            name.startswith("prob_") for name in names
        ):
            raise ValueError(f"it does not begin with {','.join(COLUMNS)},prob_...")
        found: dict[tuple[str, str, str], list[Prediction]] = defaultdict(list)
        for number, line in enumerate(lines, start=2):
            if len(line) != len(header):
                raise ValueError(f"line {number} has {len(line)} cells, not {len(header)}")
            features, model, note, case, patient, label, fold, *values = line
            probabilities = tuple(map(float, values))
            prediction = Prediction(
                case=case,
                patient=patient,
                label=label,
                fold=int(fold),
                slice=None,
                probabilities=probabilities,
            )
            found[features, model, note].append(prediction)
        classes = tuple(name.removeprefix("prob_") for name in names)
        return cls(classes, tuple(AuditRow(*key, tuple(rows)) for key, rows in found.items()))


def arrays(
    predictions: Sequence[Prediction], classes: Sequence[str]
) -> tuple[Int[np.ndarray, " case"], Float[np.ndarray, "case class"]]:
    """Indices of the true classes, and the probabilities."""
    index = {name: position for position, name in enumerate(classes)}
    labels = np.array([index[row.label] for row in predictions], dtype=np.int64)
    return labels, np.array([row.probabilities for row in predictions])
