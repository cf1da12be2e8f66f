"""Scores and interpretation of the shortcut baselines."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from volbench.audit.chance import chance_area
from volbench.audit.features import EVERYTHING, GEOMETRY, STRATA, STRATUM, meaning
from volbench.audit.result import NEARLY_THE_LABEL, Audit, AuditRow, arrays
from volbench.errors import DataError
from volbench.evaluation.metrics import area_under_curve
from volbench.evaluation.statistics import bootstrap_interval
from volbench.evaluation.statistics.spread import spread

Finding: TypeAlias = Literal["nearly the label", "beat this", "no more than chance", "undefined"]

RESAMPLES = 500
OTHERS = 5
"""Sentences at most after the first on what does better than chance."""


@dataclass(frozen=True)
class AuditScore:
    """One row of an audit in figures, all computed from its predictions.

    Attributes:
        note: What a reader must know of the feature set; may be empty.
        meaning: What the feature set knows, in words.
        n: Held-out cases.
        folds: Folds in which the area is defined: with cases of every class.
        auc: Mean over those folds; NaN where there is none.
        auc_std: Standard deviation over them (ddof 1); NaN for one fold.
        low: Lower end of the 95 % interval of ``auc`` over the drawing of patients, or NaN.
        high: Upper end.
        chance: The area that nothing but chance stays below, over all rows of the audit.
    """

    features: str
    model: str
    note: str
    meaning: str
    n: int
    folds: int
    auc: float
    auc_std: float
    low: float
    high: float
    chance: float

    @property
    def finding(self) -> Finding:
        """The row in three words."""
        if math.isnan(self.auc):
            return "undefined"
        if self.features.startswith(STRATUM) and self.auc >= NEARLY_THE_LABEL:
            return "nearly the label"
        return "beat this" if self.auc > self.chance else "no more than chance"


def score_audit(audit: Audit) -> list[AuditScore]:
    """Score every row of an audit, the largest area first.

    >>> from volbench.data.preparation import default_options, prepare
    >>> from volbench.experiment.split_designs import choose_split
    >>> phantom = "phantom(patients=12, size=16, slices=3)"
    >>> prepared = prepare(phantom, default_options(phantom), jobs=1)
    >>> from volbench.audit import audit
    >>> scores = score_audit(audit(prepared, choose_split("2", prepared.cases, 0)))
    >>> scores[0].auc >= scores[1].auc
    True
    """
    chance = chance_area(audit)
    scores = [_score(row, audit.classes, chance) for row in audit.rows]
    return sorted(scores, key=lambda row: (math.isnan(row.auc), -row.auc))


def summarize(scores: Sequence[AuditScore]) -> list[str]:
    """Say what follows for a model, one sentence per line, the most telling first.

    >>> from volbench.data.preparation import default_options, prepare
    >>> from volbench.experiment.split_designs import choose_split
    >>> phantom = "phantom(patients=12, size=16, slices=3)"
    >>> prepared = prepare(phantom, default_options(phantom), jobs=1)
    >>> from volbench.audit import audit, score_audit
    >>> scores = score_audit(audit(prepared, choose_split("2", prepared.cases, 0)))
    >>> len(summarize(scores)) >= 1
    True
    """
    lines = []
    best: dict[str, AuditScore] = {}
    for row in sorted(scores, key=lambda row: -row.auc):
        best.setdefault(row.features, row)
    for row in best.values():
        if row.finding == "nearly the label":
            lines.append(
                f"{row.features}: AUC {row.auc:.3f}: this column is nearly the label. "
                "Was it part of how the label was made?"
            )
    bars = [row for row in best.values() if row.finding == "beat this"]
    alone = [row for row in bars if row.features not in (STRATA, EVERYTHING)]
    joined = [row for row in bars if row.features in (STRATA, EVERYTHING)]
    said = [f"{_subject(row.features)} alone reaches {row.auc:.2f}" for row in alone]
    if joined and (not alone or round(joined[0].auc, 2) > round(alone[0].auc, 2)):
        note = f" ({joined[0].note})" if joined[0].note else ""
        together = f"{_subject(joined[0].features)} {joined[0].auc:.2f}{note}"
    else:
        together = ""
    if len(said) > 1 + OTHERS:
        said[1 + OTHERS :] = [f"{len(said) - 1 - OTHERS} more do better than chance"]
    said += [together] if together else []
    if said:
        said[0] += ": a model must beat that before its AUC says anything"
    said += [f"Of the header, {row.note}" for row in alone if row.features == GEOMETRY and row.note]
    lines += [f"{sentence}." for sentence in said]
    if all(row.finding == "undefined" for row in scores):
        return ["No fold holds out cases of every class, so no area is defined."]
    return lines or [
        f"Nothing here tells the label: no row is above {scores[0].chance:.2f}, which chance alone "
        "can reach with so few patients."
    ]


def _score(row: AuditRow, classes: Sequence[str], chance: float) -> AuditScore:
    labels, probabilities = arrays(row.predictions, classes)
    folds = np.array([one.fold for one in row.predictions])
    each = [area_under_curve(labels[folds == k], probabilities[folds == k]) for k in row.folds]
    areas = np.array([area for area in each if not math.isnan(area)])
    low = high = math.nan
    if len(areas):
        patients = np.array([one.patient for one in row.predictions])
        try:
            interval = bootstrap_interval(
                labels, probabilities, clusters=patients, folds=folds, resamples=RESAMPLES
            )
            low, high = interval.low, interval.high
        except DataError:
            pass  # too few patients of a class to draw from
    return AuditScore(
        features=row.features,
        model=row.model,
        note=row.note,
        meaning=meaning(row.features),
        n=len(row.predictions),
        folds=len(areas),
        auc=float(areas.mean()) if len(areas) else math.nan,
        auc_std=float(spread(areas)),
        low=low,
        high=high,
        chance=chance,
    )


def _subject(features: str) -> str:
    if features.startswith(STRATUM):
        return f"The column {features.removeprefix(STRATUM)}"
    joined = {STRATA: "All strata together reach", EVERYTHING: "Everything together reaches"}
    return joined.get(features, features[0].upper() + features[1:])
