"""Candidates of a report: numbered, labelled, scored."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from volbench.evaluation.items import Items
from volbench.experiment.setting_differences import COMPONENTS, heading
from volbench.leaderboard.identity import identities
from volbench.leaderboard.statistics.comparison import Candidate, Comparison
from volbench.leaderboard.statistics.run_scores import Scored

FoldKey = tuple[str, int]
"""Digest of the split, number of the fold: candidates are paired by it."""


@dataclass(frozen=True, eq=False)
class ReportRow:
    """One candidate.

    Attributes:
        number: Its row in the table, counted from 1; figures name it so.
        label: What tells it from the others, in a few words.
        candidate: Its row of the comparison.
        scored: Its runs that have a finished fold, at the comparison's unit and threshold.
    """

    number: int
    label: str
    candidate: Candidate
    scored: tuple[Scored, ...]

    @property
    def title(self) -> str:
        """Number and label."""
        return f"{self.number}. {self.label}"

    @property
    def items(self) -> list[Items]:
        """Scored items of each run."""
        return [scored.items for scored in self.scored if scored.items is not None]

    @cached_property
    def by_fold(self) -> list[Items]:
        """Scored items of each fold of each run."""
        return [
            items.take(items.folds == fold) for items in self.items for fold in set(items.folds)
        ]

    @cached_property
    def areas(self) -> dict[FoldKey, float]:
        """AUC of each fold; of several seeds on the same folds, their mean."""
        found: dict[FoldKey, list[float]] = {}
        for scored in self.scored:
            split = str(scored.run.experiment["split_digest"])
            for fold, area in scored.by_fold["auc"].items():
                found.setdefault((split, int(str(fold))), []).append(float(area))
        return {key: float(np.mean(areas)) for key, areas in found.items()}


def report_rows(comparison: Comparison) -> tuple[ReportRow, ...]:
    """Number and label the rows."""
    return tuple(
        ReportRow(
            number=place,
            label=label,
            candidate=candidate,
            scored=tuple(each for each in candidate.scored if each.items is not None),
        )
        for place, (candidate, label) in enumerate(
            zip(comparison.rows, labels(comparison.rows), strict=True), start=1
        )
    )


def labels(rows: Sequence[Candidate]) -> list[str]:
    """What rows differ in, components without their kind; all components where nothing differs."""
    columns, _ = identities(rows)
    if "run" in columns:
        return [row.name for row in rows]
    components = {heading(key) for key in COMPONENTS}
    parts = [
        texts if name in components else [f"{name} {text}" for text in texts]
        for name, texts in columns.items()
    ]
    return [" · ".join(texts) for texts in zip(*parts, strict=True)]


def number(value: float | None, digits: int = 3) -> str:
    """A number as people write it; a dash where there is none."""
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def signed(value: float, digits: int = 3) -> str:
    """A difference with its sign."""
    return "–" if math.isnan(value) else f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")
