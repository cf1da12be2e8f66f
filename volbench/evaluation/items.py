"""Items to be scored: predictions gathered per slice, case or patient."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from jaxtyping import Float, Int, Shaped

from volbench._utils.choices import require_choice
from volbench._utils.text import plural
from volbench.errors import DataError, UsageError
from volbench.evaluation.metrics import LabelArray, ProbabilityArray, ThresholdRule, predicted_class
from volbench.runs.predictions_file import Prediction

if TYPE_CHECKING:
    import pandas as pd

Unit: TypeAlias = Literal["slice", "case", "patient"]


@dataclass(frozen=True)
class Items:
    """What is scored, item by item; a case that several folds hold out is an item in each of them.

    Attributes:
        unit: What an item is.
        classes: Names of the classes, in the order of their index.
        rows: The rows of predictions behind each item.
        labels: Index of each item's true class.
        probabilities: Mean over the slices of a case, then over the cases of a patient.
        thresholds: From which on each item is called the second of two classes; by fold.
    """

    unit: Unit
    classes: tuple[str, ...]
    rows: tuple[tuple[Prediction, ...], ...]
    labels: LabelArray
    probabilities: ProbabilityArray
    thresholds: Float[np.ndarray, " item"]

    def __repr__(self) -> str:
        return f"<{plural(len(self.labels), self.unit)} of {', '.join(self.classes)}>"

    @property
    def folds(self) -> Int[np.ndarray, " item"]:
        """The fold that held each item out."""
        return np.array([rows[0].fold for rows in self.rows], dtype=np.int64)

    @property
    def patients(self) -> tuple[str, ...]:
        """The patient of each item: what a bootstrap has to draw."""
        return tuple(rows[0].patient for rows in self.rows)

    @property
    def cases(self) -> tuple[tuple[str, ...], ...]:
        """The cases of each item; more than one only where the item is a patient."""
        return tuple(tuple(dict.fromkeys(row.case for row in rows)) for rows in self.rows)

    @property
    def repeated(self) -> bool:
        """Whether a patient is held out by several folds, as by random splits."""
        places = {(rows[0].patient, rows[0].fold) for rows in self.rows}
        return len(places) > len(set(self.patients))

    @property
    def predicted(self) -> LabelArray:
        """Index of the class that each item is called."""
        return predicted_class(self.probabilities, self.thresholds)

    def take(self, chosen: Shaped[np.ndarray, " chosen"]) -> "Items":
        """Items by a mask, or by their positions, which may repeat."""
        places = np.arange(len(self.rows))[chosen]
        return Items(
            self.unit,
            self.classes,
            tuple(self.rows[place] for place in places),
            self.labels[places],
            self.probabilities[places],
            self.thresholds[places],
        )

    def frame(self) -> "pd.DataFrame":
        """One row per item: its names, fold, label, decision, threshold and ``prob_<class>``."""
        import pandas as pd  # what trains a fold shows no table

        columns: dict[str, object] = {}
        if self.unit != "patient":
            columns["case"] = [rows[0].case for rows in self.rows]
        if self.unit == "slice":
            columns["slice"] = [rows[0].slice for rows in self.rows]
        columns["patient"] = self.patients
        columns["fold"] = self.folds
        columns["label"] = [self.classes[label] for label in self.labels]
        columns["predicted"] = [self.classes[label] for label in self.predicted]
        if len(self.classes) == 2:
            columns["threshold"] = self.thresholds
        columns |= {f"prob_{name}": self.probabilities[:, i] for i, name in enumerate(self.classes)}
        return pd.DataFrame(columns)


def gather(
    predictions: Iterable[Prediction],
    classes: Sequence[str],
    *,
    unit: Unit | None = None,
    threshold: str | float = 0.5,
    validation: Mapping[int, Sequence[Prediction]] | None = None,
) -> Items:
    """Put rows together into items.

    Args:
        predictions: Held-out rows of one run, of one fold or of several.
        classes: Names of the classes, in the order of the probabilities.
        unit: What an item is; None means what a row is.
        threshold: A number, or a rule that sets it for each fold on its validation rows:
            ``youden``, ``specificity=0.9``, ``sensitivity=0.9``.
        validation: Rows of the inner validation part, by the fold whose training they come from.

    Raises:
        UsageError: the rows cannot be put together so, or the threshold cannot be set so.
        DataError: a row is there twice, or is no prediction of these classes.
    """
    rule = ThresholdRule.parse(threshold)
    if len(classes) != 2 and rule != ThresholdRule("fixed", 0.5):
        raise UsageError(
            f"threshold {rule} is for two classes, and there are {len(classes)}: "
            "of several the most probable is taken"
        )
    rows = list(predictions)
    require_choice("unit", unit, Unit)
    unit = unit or _unit_of(rows)
    items = _together(rows, classes if isinstance(classes, tuple) else tuple(classes), unit)
    by_fold = {
        int(fold): _threshold(rule, int(fold), (validation or {}).get(int(fold), ()), classes, unit)
        for fold in np.unique(items.folds)
    }
    return replace(items, thresholds=np.array([by_fold[int(fold)] for fold in items.folds]))


def units_of(predictions: Iterable[Prediction]) -> tuple[Unit, ...]:
    """Units at which these rows can be scored, each with fewer items than the one before.

    The first is what a row is. Patients are among them where one of them has several cases, and
    none has cases of several classes.
    """
    rows = list(predictions)
    cases = {(row.fold, row.case) for row in rows}
    patients = {(row.fold, row.patient) for row in rows}
    units: list[Unit] = [_unit_of(rows)]
    if len(cases) < len(rows):
        units.append("case")
    if len(patients) < len(cases) and not _patients_of_several_classes(rows):
        units.append("patient")
    return tuple(units)


def _unit_of(rows: Sequence[Prediction]) -> Unit:
    return "slice" if any(row.slice is not None for row in rows) else "case"


def _together(rows: Sequence[Prediction], classes: tuple[str, ...], unit: Unit) -> Items:
    _check(rows, classes)
    if unit == "slice" and any(row.slice is None for row in rows):
        raise UsageError("unit 'slice': these predictions are one per case; use case or patient")
    if unit == "patient" and (torn := _patients_of_several_classes(rows)):
        raise UsageError(
            f"unit 'patient': cases of several classes belong to one patient, as to {torn[0]!r} "
            f"({plural(len(torn), 'such patient')}), who has no class then; "
            "use case"
        )
    key: dict[Unit, Callable[[Prediction], Hashable]] = {
        "slice": lambda row: (row.fold, row.case, row.slice),
        "case": lambda row: (row.fold, row.case),
        "patient": lambda row: (row.fold, row.patient),
    }
    grouped = _group(rows, key[unit])
    labels = [classes.index(group[0].label) for group in grouped]
    means = [_mean_over_cases(group) for group in grouped]
    return Items(
        unit=unit,
        classes=classes,
        rows=grouped,
        labels=np.array(labels, dtype=np.int64),
        probabilities=np.array(means, dtype=np.float64).reshape(len(grouped), len(classes)),
        thresholds=np.full(len(grouped), 0.5),
    )


def _mean_over_cases(rows: Sequence[Prediction]) -> Float[np.ndarray, " class"]:
    cases = _group(rows, lambda row: row.case)
    means = [np.mean([row.probabilities for row in case], axis=0) for case in cases]
    return np.asarray(np.mean(means, axis=0))


def _group(
    rows: Iterable[Prediction], key: Callable[[Prediction], Hashable]
) -> tuple[tuple[Prediction, ...], ...]:
    groups: dict[Hashable, list[Prediction]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return tuple(map(tuple, groups.values()))


def _patients_of_several_classes(rows: Iterable[Prediction]) -> list[str]:
    labels: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        labels[row.patient].add(row.label)
    return [patient for patient, of in labels.items() if len(of) > 1]


def _check(rows: Iterable[Prediction], classes: Sequence[str]) -> None:
    seen: set[tuple[int, str, int | None]] = set()
    for row in rows:
        if row.label not in classes:
            raise DataError(
                f"prediction of case {row.case!r}: label {row.label!r} is not among the classes "
                f"{', '.join(classes)}"
            )
        if not all(0 <= value <= 1 for value in row.probabilities):  # NaN is not either
            raise DataError(
                f"prediction of case {row.case!r}: {row.probabilities} are not probabilities; "
                "train this fold again"
            )
        if (row.fold, row.case, row.slice) in seen:
            raise DataError(f"case {row.case!r} is predicted twice; score one run at a time")
        seen.add((row.fold, row.case, row.slice))


def _threshold(
    rule: ThresholdRule,
    fold: int,
    validation: Sequence[Prediction],
    classes: Sequence[str],
    unit: Unit,
) -> float:
    if rule.value is not None and not rule.chosen:
        return rule.value
    if not validation:
        raise UsageError(
            f"threshold {rule}: fold {fold} has no validation predictions to choose it on; "
            "use 0.5, or a recipe that keeps a validation part"
        )
    items = _together(validation, tuple(classes), unit)
    try:
        return rule.threshold(items.labels, items.probabilities)
    except DataError as error:
        raise DataError(
            f"{error} among the validation predictions of fold {fold}; use 0.5"
        ) from None
