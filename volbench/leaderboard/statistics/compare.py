"""Comparison of runs: score each row, pair the complete ones, add intervals, assemble one table."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import numpy as np

from volbench._utils.choices import require_choice
from volbench.evaluation.items import Unit
from volbench.evaluation.metrics import metrics_for
from volbench.evaluation.statistics import PairTest
from volbench.evaluation.statistics.bootstrap import RESAMPLES
from volbench.evaluation.statistics.multiple_comparisons import ALPHA
from volbench.evaluation.statistics.rope import MARGIN
from volbench.leaderboard.selection import sort_values
from volbench.leaderboard.statistics.comparison import (
    Candidate,
    Comparison,
    ScoredRow,
    ShortcutTest,
    Status,
)
from volbench.leaderboard.statistics.cost import cost_of
from volbench.leaderboard.statistics.intervals import Draws, interval, resample
from volbench.leaderboard.statistics.pairs import (
    Contender,
    compare_pairs,
    deciding_test,
    letters_of,
    power_of,
)
from volbench.leaderboard.statistics.repeats import put_together
from volbench.leaderboard.statistics.run_scores import (
    DDOF,
    Estimate,
    Scored,
    check_same_items,
    estimate,
    fold_frame,
    matrix,
    native_unit,
    score_run,
)
from volbench.leaderboard.statistics.shortcut_test import best_shortcuts_of, compare_with_shortcut
from volbench.runs.load import LoadedRun, named_otherwise
from volbench.runs.predictions_file import Grades


def compare_runs(
    runs: Sequence[LoadedRun],
    *,
    unit: Unit | None = None,
    threshold: str | float = 0.5,
    sort: str = "auc",
    against: str | None = None,
    ddof: int = DDOF,
    repeats: bool = False,
    resamples: int = RESAMPLES,
    seed: int = 0,
    alpha: float = ALPHA,
    margin: float = MARGIN,
    test: PairTest = "combined",
) -> Comparison:
    """Compare runs on the same data and the same folds: one table.

    Args:
        runs: From :func:`volbench.leaderboard.load_run`; their ``protocol`` is the same, or, with
            ``repeats``, their data are.
        unit: What is scored; None means what the runs predict, and cases where some predict slices
            and others cases.
        threshold: A number, or a rule that sets it on the validation part of each fold.
        sort: A metric or a column.
        against: Name of the run that the others are shown against; None means the one with the
            largest AUC. One that is not among the complete runs counts as None.
        ddof: Of standard deviations over folds.
        repeats: Whether runs that differ in the seed only are one row.
        resamples: Draws of patients for the intervals.
        seed: Of these draws.
        alpha: Level of the tests.
        margin: Differences of AUC up to this one are practically none.
        test: Which test decides over folds; of rows of several runs it is ``corrected_t``.

    Raises:
        UsageError: a run cannot be scored at this unit or threshold, or the column is unknown.
        StateError: the runs predict other items.
    """
    require_choice("unit", unit, Unit)
    require_choice("test", test, PairTest)
    natives = {native_unit(run) for run in runs} - {None}
    native = next(iter(natives)) if len(natives) == 1 else "case"
    chosen: Unit = unit or ("patient" if named_otherwise(runs) else native) or "case"
    classes = next((run.classes for run in runs if run.classes), ())
    if not all(isinstance(run.classes, Grades) for run in runs if run.classes):
        classes = tuple(classes)  # metrics of grades are those of runs that all have grades
    scored = [
        [score_run(run, unit=chosen, threshold=threshold) for run in together]
        for together in (put_together(runs) if repeats else [[run] for run in runs])
    ]
    rows = sort_values([score_row(each, classes, ddof=ddof) for each in scored], sort)
    complete = {place: row.scored for place, row in enumerate(rows) if row.status == "complete"}
    check_same_items(list(chain.from_iterable(complete.values())))
    draws = resample(complete, resamples=resamples, seed=seed)
    contenders = contenders_of(complete, draws)
    settled = sum(row.stop is not None and row.stop.kind == "settled" for row in rows)
    pairs = compare_pairs(contenders, alpha=alpha, margin=margin, test=test, settled=settled)
    order = best_first(contenders)
    letters = letters_of(pairs, order, alpha=alpha)
    decided_by = deciding_test(contenders, pairs)
    shortcuts = best_shortcuts_of(rows, unit=chosen, ddof=ddof) if complete else []
    beaten = compare_with_shortcut(contenders, shortcuts, alpha=alpha, test=test)
    return Comparison(
        rows=tuple(
            assemble_row(
                row, draws.get(place, {}), letters.get(place, ""), beaten.get(place), alpha
            )
            for place, row in enumerate(rows)
        ),
        classes=classes,
        unit=chosen,
        threshold=str(threshold),
        sort=sort,
        ddof=ddof,
        pairs=pairs,
        against=_position(rows, order, against) if pairs else None,
        test=decided_by,
        design=power_of(contenders[0].areas, pairs, alpha=alpha) if decided_by == "folds" else None,
        shortcuts=tuple(found.shortcut for found in shortcuts),
        undefined=_undefined(next(iter(complete.values()), ())),
        mixed=chosen == "case" and unit is None and len(natives) > 1,
        alpha=alpha,
        margin=margin,
        resamples=resamples,
        seed=seed,
        splits=tuple(
            sorted({run.division: run.experiment["split_digest"] for run in runs[::-1]}.values())
        ),
    )


def score_row(scored: Sequence[Scored], classes: Sequence[str], *, ddof: int) -> ScoredRow:
    """Summarise the runs of one row over their folds, without looking at other rows."""
    loaded = tuple(each.run for each in scored)
    failed = sum(len(run.failed) for run in loaded)
    complete = all(each.complete for each in scored)
    stopped = any(run.race for run in loaded)
    short: Status = "failed" if failed else "stopped" if stopped else "incomplete"
    status: Status = "complete" if complete else short
    units = dict.fromkeys(unit for each in scored for unit in each.other_units)
    return ScoredRow(
        scored=tuple(scored),
        status=status,
        folds=sum(len(each.by_fold) for each in scored),
        folds_total=sum(run.experiment["folds"] for run in loaded),
        failed=failed,
        n=0 if scored[0].items is None else len(scored[0].items.labels),
        scores={
            name: estimate(matrix(scored, name), ddof=ddof)
            for name in metrics_for(classes)
            if any(len(each.by_fold) for each in scored)
        },
        by_fold=fold_frame(scored),
        other_units={
            unit: estimate(
                [each.other_units[unit] for each in scored if unit in each.other_units], ddof=ddof
            )
            for unit in units
        },
        cost=cost_of(loaded),
    )


def contenders_of(
    complete: Mapping[int, Sequence[Scored]], draws: Mapping[int, Mapping[str, Draws]]
) -> list[Contender]:
    """Complete rows with an AUC in at least one fold, ready to be paired, in table order."""
    found = [
        Contender(place, runs, np.stack(matrix(runs, "auc")), draws[place]["auc"])
        for place, runs in complete.items()
    ]
    return [each for each in found if np.isfinite(each.areas).any()]


def best_first(contenders: Sequence[Contender]) -> list[int]:
    """Positions of the contenders, the largest mean AUC first."""
    ordered = sorted(contenders, key=lambda each: -float(np.nanmean(each.areas)))
    return [each.place for each in ordered]


def assemble_row(
    row: ScoredRow,
    draws: Mapping[str, Draws],
    letters: str,
    bar: ShortcutTest | None,
    alpha: float,
) -> Candidate:
    """Put a row together with what other rows and the bootstrap say of it."""
    scores = {
        name: _with_interval(score, draws[name], alpha) if name in draws else score
        for name, score in row.scores.items()
    }
    return Candidate(**{**vars(row), "scores": scores}, letters=letters, bar=bar)


def _with_interval(score: Estimate, draws: Draws, alpha: float) -> Estimate:
    """Intervals stand beside defined means only."""
    if math.isnan(score.mean):
        return score
    low, high = interval(draws, alpha=alpha)
    return Estimate(score.mean, score.std, low, high)


def _position(rows: Sequence[ScoredRow], order: Sequence[int], name: str | None) -> int:
    named = [place for place in order if name in [run.name for run in rows[place].runs]]
    return named[0] if named else order[0]


def _undefined(runs: Sequence[Scored]) -> tuple[int, ...]:
    """Numbers of the folds without an AUC."""
    missing: set[int] = set()
    for scored in runs:
        areas = scored.by_fold["auc"]
        missing.update(areas.index[areas.isna()].tolist())
    return tuple(sorted(missing))


def tables_of(
    runs: Iterable[LoadedRun], *, repeats: bool = False, across_inputs: bool = False
) -> list[list[LoadedRun]]:
    """Divide runs into tables: same data, same folds; with ``repeats``, the same set of folds.

    Args:
        runs: Any runs.
        repeats: Whether runs that differ in the seed only are put together.
        across_inputs: Whether runs on other images of the same patients, with the same labels and
            folds, share a table.
    """
    runs = list(runs)
    tables: dict[tuple[object, ...], list[LoadedRun]] = {}
    for together in put_together(runs) if repeats else [[run] for run in runs]:
        splits = frozenset(
            run.division if across_inputs else run.experiment["split_digest"] for run in together
        )
        first = together[0].experiment
        data = None if across_inputs else first["data_digest"]
        tables.setdefault((data, first["folds"], splits), []).extend(together)
    return list(tables.values())
