"""Shortcut baselines: the best rows of the audit of the runs, and which runs beat the best one.

The audit predicts the same held-out cases in the same folds, so its rows are paired like runs.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from volbench.audit import Audit, read_audit
from volbench.audit.features import STRATA, STRATUM
from volbench.audit.result import NEARLY_THE_LABEL
from volbench.errors import DataError, UsageError
from volbench.evaluation import Items, Unit, gather
from volbench.evaluation.statistics import (
    AreaTest,
    CrossValidatedTest,
    area_test,
    corrected_t_test,
    cross_validated_test,
    delong,
    holm,
)
from volbench.leaderboard.statistics.comparison import Shortcut, ShortcutTest
from volbench.leaderboard.statistics.run_scores import estimate, fold_areas, sorted_items
from volbench.runs.folder import AUDIT
from volbench.runs.load import LoadedRun

Areas = Float[np.ndarray, "repeat fold"]
MOST = 4


def audits_of(runs: Sequence[LoadedRun], splits: Sequence[str]) -> list[Audit]:
    """The audit of each division into folds, from any run that holds it; none if one is missing."""
    found: dict[str, Audit] = {}
    for run in runs:
        split = run.experiment["split_digest"]
        if split not in found and (run.path / AUDIT).is_file():
            found[split] = read_audit(run.path / AUDIT)
    return [found[split] for split in splits] if set(splits) <= found.keys() else []


def best_shortcuts(
    audits: Sequence[Audit], *, unit: Unit, folds: int, ddof: int
) -> list[tuple[Shortcut, Areas, Items]]:
    """The best row of each kind of feature set, at most four, the largest AUC first.

    Columns of the manifest are one kind, alone or together.

    Args:
        audits: One per division into folds.
        unit: ``case`` or ``patient``; at slices, cases are what an audit knows.
        folds: Folds of each division; an audit with others is left out.
        ddof: Of the standard deviations.

    Returns:
        Each row, its AUC by division and fold, and its items in the last division.
    """
    best: dict[str, tuple[Shortcut, Areas, Items]] = {}
    for place, row in enumerate(audits[0].rows if audits else ()):
        areas = []
        for audit in audits:
            if place >= len(audit.rows) or audit.rows[place].features != row.features:
                continue
            try:
                items = gather(
                    audit.rows[place].predictions,
                    audit.classes,
                    unit="patient" if unit == "patient" else "case",
                )
            except UsageError:  # patients of several classes have no class
                continue
            areas.append(fold_areas(items))
        if len(areas) < len(audits) or any(len(each) != folds for each in areas):
            continue
        found = estimate(areas, ddof=ddof)
        if not found.mean > 0:  # undefined in a fold
            continue
        is_column = row.features.startswith(STRATUM)
        kind = STRATA if is_column else row.features
        label = is_column and found.mean >= NEARLY_THE_LABEL
        kind = f"{kind}, the label" if label else kind
        if kind not in best or found.mean > best[kind][0].auc.mean:
            shortcut = Shortcut(row.features, row.model, row.note, found, label)
            best[kind] = (shortcut, np.stack(areas), sorted_items(items))
    return sorted(best.values(), key=lambda each: -each[0].auc.mean)[:MOST]


def against_bar(rows: Sequence[Areas], bar: Areas, *, alpha: float) -> list[ShortcutTest]:
    """Test each row against a row of the audit on the same folds, and adjust by Holm."""
    tests = [corrected_t_test(areas - bar, undefined="omit", alpha=alpha) for areas in rows]
    adjusted = holm(np.array([test.p for test in tests]))
    return [
        ShortcutTest(
            difference=test.mean,
            low=max(-1.0, test.low),
            high=min(1.0, test.high),
            p=float(p),
            beaten=bool(p < alpha and test.mean > 0),
            test="corrected_t",
        )
        for test, p in zip(tests, adjusted, strict=True)
    ]


def against_bar_by_case(rows: Sequence[Items], bar: Items, *, alpha: float) -> list[ShortcutTest]:
    """Test each row against a row of the audit on the same cases, as rows are tested in pairs."""
    try:
        tests = [_by_case(items, bar, alpha=alpha) for items in rows]
    except DataError:  # one patient only of a class: no spread to be told
        return [ShortcutTest(math.nan, math.nan, math.nan, math.nan, False, "delong") for _ in rows]
    adjusted = holm(np.array([test.p for test in tests]))
    return [
        ShortcutTest(
            difference=test.difference,
            low=test.low,
            high=test.high,
            p=float(p),
            beaten=bool(p < alpha and test.difference > 0),
            test="delong" if isinstance(test, AreaTest) else "combined",
        )
        for test, p in zip(tests, adjusted, strict=True)
    ]


def _by_case(items: Items, bar: Items, *, alpha: float) -> AreaTest | CrossValidatedTest:
    areas = delong(
        bar.labels,
        np.stack([items.probabilities, bar.probabilities]),
        clusters=np.array(bar.patients),
        folds=bar.folds,
        undefined="omit",
    )
    if areas.folds > 1:
        return cross_validated_test(areas, alpha=alpha)
    return area_test(areas, alpha=alpha)
