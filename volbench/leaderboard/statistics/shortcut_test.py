"""Shortcut baselines: the best rows of the audit of the runs, and which runs beat the best one.

The audit predicts the same held-out cases in the same folds, so its rows are paired like runs.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from volbench.audit import Audit, read_audit
from volbench.audit.features import STRATA, STRATUM
from volbench.audit.result import NEARLY_THE_LABEL
from volbench.errors import DataError, UsageError
from volbench.evaluation.items import Items, Unit, gather
from volbench.evaluation.statistics import (
    AreaTest,
    CrossValidatedTest,
    PairTest,
    area_test,
    corrected_t_test,
    cross_validated_test,
    delong,
    holm,
)
from volbench.leaderboard.statistics.comparison import ScoredRow, Shortcut, ShortcutTest
from volbench.leaderboard.statistics.pairs import Contender, fold_test_applies
from volbench.leaderboard.statistics.run_scores import (
    case_areas,
    case_items,
    estimate,
    fold_areas,
    held_out_ratio,
    sorted_items,
)
from volbench.runs.folder import AUDIT, RunFolder
from volbench.runs.load import LoadedRun

Areas = Float[np.ndarray, "repeat fold"]
MOST = 4


def audits_of(runs: Sequence[LoadedRun], splits: Sequence[str]) -> list[Audit]:
    """The audit of each division into folds, from any run that holds it; none if one is missing."""
    found: dict[str, Audit] = {}
    for run in runs:
        split = run.division
        if split not in found and (run.path / AUDIT).is_file():
            RunFolder(run.path).content(AUDIT)  # refuses one that was changed
            found[split] = read_audit(run.path / AUDIT)
    return [found[split] for split in splits] if set(splits) <= found.keys() else []


@dataclass(frozen=True, eq=False)
class ScoredShortcut:
    """A row of the audit, ready to be tested against.

    Attributes:
        areas: AUC by division into folds and fold.
        items: In the last division, sorted.
    """

    shortcut: Shortcut
    areas: Areas
    items: Items


def best_shortcuts_of(rows: Sequence[ScoredRow], *, unit: Unit, ddof: int) -> list[ScoredShortcut]:
    """The best shortcuts of the audits that lie in the runs of a table."""
    runs = [run for row in rows for run in row.runs]
    splits = sorted({run.division for run in runs})
    folds = int(runs[0].experiment["folds"])
    by_data: dict[str, list[LoadedRun]] = {}
    for run in runs:
        by_data.setdefault(run.experiment["data_digest"], []).append(run)
    best: dict[str, ScoredShortcut] = {}
    for together in by_data.values():  # other images may have other shortcuts: the best is the bar
        found = best_shortcuts(audits_of(together, splits), unit=unit, folds=folds, ddof=ddof)
        for each in found:
            known = best.setdefault(each.shortcut.features, each)
            if each.shortcut.auc.mean > known.shortcut.auc.mean:
                best[each.shortcut.features] = each
    return _strongest(best.values())


def compare_with_shortcut(
    contenders: Sequence[Contender],
    shortcuts: Sequence[ScoredShortcut],
    *,
    alpha: float,
    test: PairTest,
) -> dict[int, ShortcutTest]:
    """Test each contender against the best shortcut; by position, none where no test applies."""
    bar = next((each for each in shortcuts if not each.shortcut.label), None)
    if bar is None or not contenders:
        return {}
    over_folds = fold_test_applies(contenders[0].areas - bar.areas)
    run = contenders[0].runs[0].run
    one_division = not run.repeated and all(len(each.runs) == 1 for each in contenders)
    if one_division and (test == "combined" or not over_folds):
        cases = [case_items(each.runs[0], bar.items.unit) for each in contenders]
        tests = against_bar_by_case(cases, bar.items, alpha=alpha)
    elif over_folds:
        areas = [case_areas(each.runs) for each in contenders]
        tests = against_bar(areas, bar.areas, alpha=alpha, test_to_train=held_out_ratio(run))
    else:
        return {}
    return dict(zip([each.place for each in contenders], tests, strict=True))


def best_shortcuts(
    audits: Sequence[Audit], *, unit: Unit, folds: int, ddof: int
) -> list[ScoredShortcut]:
    """The best row of each kind of feature set, at most four, the largest AUC first.

    Columns of the manifest are one kind, alone or together.

    Args:
        audits: One per division into folds.
        unit: ``case`` or ``patient``; at slices, cases are what an audit knows.
        folds: Folds of each division; an audit with others is left out.
        ddof: Of the standard deviations.
    """
    best: dict[str, ScoredShortcut] = {}
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
        if kind not in best or found.mean > best[kind].shortcut.auc.mean:
            shortcut = Shortcut(row.features, row.model, row.note, found, label)
            best[kind] = ScoredShortcut(shortcut, np.stack(areas), sorted_items(items))
    return _strongest(best.values())


def against_bar(
    rows: Sequence[Areas], bar: Areas, *, alpha: float, test_to_train: float | None = None
) -> list[ShortcutTest]:
    """Test each row against a row of the audit on the same folds, and adjust by Holm."""
    tests = [
        corrected_t_test(areas - bar, test_to_train=test_to_train, undefined="omit", alpha=alpha)
        for areas in rows
    ]
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
        tests = _by_case(rows, bar, alpha=alpha)
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


def _by_case(
    rows: Sequence[Items], bar: Items, *, alpha: float
) -> Sequence[AreaTest | CrossValidatedTest]:
    areas = delong(
        bar.labels,
        np.stack([items.probabilities for items in (*rows, bar)]),
        clusters=np.array(bar.patients),
        folds=bar.folds,
        undefined="omit",
    )
    pairs = [areas.pair(row, len(rows)) for row in range(len(rows))]
    if areas.folds > 1:
        return [cross_validated_test(pair, alpha=alpha) for pair in pairs]
    return [area_test(pair, alpha=alpha) for pair in pairs]


def _strongest(best: Iterable[ScoredShortcut]) -> list[ScoredShortcut]:
    return sorted(best, key=lambda each: -each.shortcut.auc.mean)[:MOST]
