"""Late fusion of clinical columns with the score of a network: stacking (Wolpert, 1992).

Both models that are put together were trained without the inner validation part, so their scores
there are as honest as on new patients; a second logistic regression learns on that part how much
either counts. It has one weight per model, not per column, because a dozen patients cannot tell
more; its penalty pulls the two towards equal weights. The held-out part is only predicted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from volbench._utils.seeds import derive_seed
from volbench.audit.columns import Column
from volbench.audit.shortcut_models import LOGISTIC, Probabilities, encode, fit, probabilities
from volbench.errors import DataError
from volbench.experiment.splits import FoldPartition

LEAST = 1e-7
"""Probabilities below count as this, so that their logarithm is a number."""

MOST_PARTS = 5
"""Parts of the inner part, each of which is predicted by a fusion that was fitted on the others."""


@dataclass(frozen=True, eq=False)
class CaseTable:
    """What a fold is fitted to.

    Attributes:
        columns: One value per case.
        labels: Index of each case's class.
        patients: The patient of each case.
        classes: Names of the classes.
    """

    columns: Sequence[Column]
    labels: Int[np.ndarray, " case"]
    patients: Shaped[np.ndarray, " case"]
    classes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class FittedFold:
    """What a fold predicts, and what was fitted for it.

    Attributes:
        test: One row per held-out case.
        validation: One row per case of the inner part, by a model that was fitted without that
            case; None where there is no such part, or too few patients of a class in it.
        parameters: How many were fitted.
        fitted: Of a fusion: weights by model, as plain values.
    """

    test: Probabilities
    validation: Float[np.ndarray, "inner class"] | None
    parameters: int
    fitted: dict[str, Any]


def fit_columns(table: CaseTable, part: FoldPartition, *, seed: int) -> FittedFold:
    """Predict from the columns alone: the shortcut baseline of these columns, to the digit.

    Fitted on all cases that are not held out; the inner part is predicted by a model of the others.
    """
    everything = (*part.train, *part.validation)
    test, parameters = _by_columns(table, everything, part.test, seed)
    inner = _by_columns(table, part.train, part.validation, seed)[0] if part.validation else None
    return FittedFold(test, inner, parameters, {"cases": len(everything)})


def fit_fusion(
    table: CaseTable,
    part: FoldPartition,
    network: tuple[Float[np.ndarray, "inner class"], Probabilities],
    *,
    seed: int,
) -> FittedFold:
    """Put the columns and a network together.

    Args:
        table: The cases.
        part: Those of the fold; its inner part is what the fusion is fitted on.
        network: What the network says of the inner part, and of the held-out part.
        seed: Of the division of the inner part.

    Raises:
        DataError: a class is missing in the inner part.
    """
    inner, held_out = list(part.validation), list(part.test)
    truth = table.labels[inner]
    if len(np.unique(truth)) < len(table.classes):
        raise DataError(
            "late fusion: a class has no case in the inner validation part; raise "
            "selection.validation_fraction"
        )
    both, parameters = _by_columns(table, part.train, (*inner, *held_out), seed)
    features = np.concatenate([log_ratios(np.concatenate(network)), log_ratios(both)], axis=1)
    known, unknown = features[: len(inner)], features[len(inner) :]
    fusion = _fusion().fit(known, truth)
    weights = fusion[-1].coef_
    fitted = {
        "cases": len(inner),
        "terms": [
            f"{model}: log {name} / {table.classes[0]}"
            for model in ("network", "columns")
            for name in table.classes[1:]
        ],
        "weights": weights.tolist(),
        "intercept": fusion[-1].intercept_.tolist(),
        "mean": fusion[0].mean_.tolist(),
        "scale": fusion[0].scale_.tolist(),
    }
    return FittedFold(
        fusion.predict_proba(unknown),
        _inner_predictions(known, truth, table.patients[inner], seed),
        parameters + weights.size + len(fusion[-1].intercept_),
        fitted,
    )


def log_ratios(found: Probabilities) -> Float[np.ndarray, "case ratio"]:
    """Logarithm of each class's probability over that of the first class.

    >>> log_ratios(np.array([[0.5, 0.5]]))
    array([[0.]])
    """
    logs = np.log(np.maximum(found, LEAST))
    return np.asarray(logs[:, 1:] - logs[:, :1])


def _by_columns(
    table: CaseTable, train: Sequence[int], others: Sequence[int], seed: int
) -> tuple[Probabilities, int]:
    known, unknown = encode(table.columns, train, others)
    model = fit(LOGISTIC, known, table.labels[list(train)], seed)
    parameters = model.coef_.size + len(model.intercept_) if hasattr(model, "coef_") else 0
    return probabilities(model, unknown, len(table.classes)), parameters


def _fusion() -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))


def _inner_predictions(
    features: Float[np.ndarray, "case feature"],
    labels: Int[np.ndarray, " case"],
    patients: Shaped[np.ndarray, " case"],
    seed: int,
) -> Float[np.ndarray, "case class"] | None:
    """Predict each patient of the inner part by a fusion of the others: thresholds need that."""
    fewest = min(len(np.unique(patients[labels == label])) for label in np.unique(labels))
    parts = min(MOST_PARTS, fewest)
    if parts < 2:
        return None
    divided = StratifiedGroupKFold(
        parts, shuffle=True, random_state=derive_seed(seed, "fusion") % 2**32
    )
    classes = len(np.unique(labels))
    found = np.zeros((len(labels), classes))
    for rest, held_out in divided.split(features, labels, patients):
        if len(np.unique(labels[rest])) < classes:
            return None
        found[held_out] = (
            _fusion().fit(features[rest], labels[rest]).predict_proba(features[held_out])
        )
    return found
