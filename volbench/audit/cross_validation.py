"""Cross-validation of the shortcut baselines on the folds of the runs."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int

from volbench._utils.seeds import derive_seed
from volbench.audit.features import GEOMETRY, STRATUM, FeatureSet, feature_sets
from volbench.audit.intensity import OnCase
from volbench.audit.result import NEARLY_THE_LABEL, Audit, AuditRow
from volbench.audit.shortcut_models import (
    MODELS,
    Probabilities,
    encode,
    fit,
    fit_tree,
    probabilities,
)
from volbench.data.cache.packed_voxels import Prepared, PreparedCase
from volbench.evaluation.metrics import area_under_curve
from volbench.experiment.splits import Split
from volbench.runs.predictions_file import Prediction

OnFit = Callable[[int, int], None]
DIGITS = 9
"""Digits kept of a probability, so that a file of them is half as long; no table shows four."""


def audit(
    prepared: Prepared,
    split: Split,
    *,
    seed: int = 0,
    on_case: OnCase | None = None,
    on_fit: OnFit | None = None,
) -> Audit:
    """Predict the held-out cases of every fold from each feature set, without the image.

    Everything that is learned, down to a column's median, is learned from the training part of the
    fold. Validation cases of a split of its own train too. A column that nearly is the label in the
    training part is left out of the sets that join columns, or they would say no more than it does.

    Args:
        prepared: The data set; its voxels are read once.
        split: The folds of the runs, of the same cases in the same order.
        seed: Seed of the forests.
        on_case: Called with the number of volumes read and their total.
        on_fit: Called with the number of feature sets fitted, over all folds, and their total.

    >>> from volbench.data.preparation import default_options, prepare
    >>> from volbench.experiment.split_designs import choose_split
    >>> phantom = "phantom(patients=12, size=16, slices=3)"
    >>> prepared = prepare(phantom, default_options(phantom), jobs=1)
    >>> found = audit(prepared, choose_split("2", prepared.cases, 0))
    >>> "intensity" in {row.features for row in found.rows}
    True
    """
    assert split.cases == prepared.cases
    sets = feature_sets(prepared, on_case)
    labels = np.array([case.label for case in prepared.cases], dtype=np.int64)
    predictions: dict[tuple[str, str], list[Prediction]] = defaultdict(list)
    left_out: Counter[str] = Counter()
    single: dict[str, list[float]] = defaultdict(list)
    done = 0
    for number in split.folds:
        part = split.part(number, validation_fraction=None, seed=seed)
        fold = _Fold(number, part.train, part.test, labels, len(prepared.classes), seed)
        held_out = [prepared.cases[index] for index in part.test]
        for features in sets:
            for model, found in fold.predict(features).items():
                rows = _rows(held_out, prepared.classes, number, found)
                predictions[features.name, model] += rows
            if features.name == GEOMETRY:
                for name, area in fold.single_areas(features).items():
                    single[name].append(area)
            done += 1
            if on_fit:
                on_fit(done, len(sets) * len(split.folds))
        left_out.update(fold.revealing)
    return Audit(
        prepared.classes,
        tuple(
            AuditRow(
                one.name,
                model,
                _note(one, left_out, len(split.folds))
                or (_telling(single) if one.name == GEOMETRY else ""),
                tuple(predictions[one.name, model]),
            )
            for one in sets
            for model in MODELS
        ),
    )


@dataclass
class _Fold:
    """One fold: fits on its training part, and learns there which columns reveal the label."""

    number: int
    train: Sequence[int]
    test: Sequence[int]
    labels: Int[np.ndarray, " case"]
    classes: int
    seed: int
    revealing: set[str] = field(default_factory=set[str])

    def predict(self, features: FeatureSet) -> dict[str, Probabilities]:
        """Fit every model and predict the held-out cases."""
        kept = [
            column
            for column in features.columns
            if not (features.sifted and column.name in self.revealing)
        ]
        known, held_out = encode(kept, self.train, self.test)
        truth = self.labels[list(self.train)]
        found = {}
        for model in MODELS:
            fitted = fit(model, known, truth, derive_seed(self.seed, "audit", model, self.number))
            found[model] = probabilities(fitted, held_out, self.classes)
            if features.name.startswith(STRATUM):
                seen = probabilities(fitted, known, self.classes)
                if area_under_curve(truth, seen) >= NEARLY_THE_LABEL:
                    self.revealing.add(features.name)
        return found

    def single_areas(self, features: FeatureSet) -> dict[str, float]:
        """Held-out area of each column by itself; NaN where a class is missing."""
        truth = self.labels[list(self.train)]
        found = {}
        for column in features.columns:
            known, held_out = encode([column], self.train, self.test)
            fitted = fit_tree(known, truth, self.classes)
            seen = probabilities(fitted, held_out, self.classes)
            found[column.name] = area_under_curve(self.labels[list(self.test)], seen)
        return found


def _rows(
    cases: Sequence[PreparedCase], classes: Sequence[str], fold: int, found: Probabilities
) -> list[Prediction]:
    return [
        Prediction(
            case=case.name,
            patient=case.patient,
            label=classes[case.label],
            fold=fold,
            slice=None,
            probabilities=tuple(float(f"{value:.{DIGITS}g}") for value in row),
        )
        for case, row in zip(cases, found, strict=True)
    ]


def _telling(areas: Mapping[str, Sequence[float]]) -> str:
    """Which attributes of the header are nearly the label, each by itself."""
    names = [
        name
        for name, of_folds in areas.items()
        if not np.isnan(of_folds).all() and np.nanmean(of_folds) >= NEARLY_THE_LABEL
    ]
    return f"{', '.join(names)} by itself nearly the label" if names else ""


def _note(features: FeatureSet, left_out: Counter[str], folds: int) -> str:
    """What is said of a set; of a joined one, which columns it lacks, and in how many folds."""
    if not (features.sifted and left_out):
        return features.note
    names = [
        name.removeprefix(STRATUM) + (f" in {count} of {folds} folds" if count < folds else "")
        for name, count in sorted(left_out.items())
    ]
    return f"without {', '.join(names)}"
