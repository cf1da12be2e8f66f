"""Runs compared: which is better, and can it be believed? The whole way from runs to findings."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from volbench.evaluation import Unit
from volbench.evaluation.metrics import metrics_for
from volbench.evaluation.statistics import PairTest
from volbench.evaluation.statistics.bootstrap import RESAMPLES
from volbench.evaluation.statistics.multiple_comparisons import ALPHA
from volbench.evaluation.statistics.rope import MARGIN
from volbench.leaderboard.selection import sort_values
from volbench.leaderboard.statistics.comparison import (
    Candidate,
    Comparison,
    Estimate,
    Shortcut,
    ShortcutTest,
    Status,
    Test,
)
from volbench.leaderboard.statistics.cost import cost_of
from volbench.leaderboard.statistics.intervals import Draws, interval, resample
from volbench.leaderboard.statistics.pairs import (
    Contender,
    compare_pairs,
    design_of,
    fold_test_applies,
    letters_of,
)
from volbench.leaderboard.statistics.repeats import put_together
from volbench.leaderboard.statistics.run_scores import (
    DDOF,
    Scored,
    case_areas,
    case_items,
    check_same_items,
    estimate,
    fold_frame,
    matrix,
    native_unit,
    score_run,
)
from volbench.leaderboard.statistics.shortcut_test import (
    against_bar,
    against_bar_by_case,
    audits_of,
    best_shortcuts,
)
from volbench.runs.load import LoadedRun


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
    natives = {native for run in runs if (native := native_unit(run))}
    chosen: Unit = unit or (natives.pop() if len(natives) == 1 else "case")
    scored = [
        [score_run(run, unit=chosen, threshold=threshold) for run in together]
        for together in (put_together(runs) if repeats else [[run] for run in runs])
    ]
    classes = next((run.classes for run in runs if run.classes), ())
    table = _Table(scored, chosen, classes, ddof, resamples, seed, alpha, margin, test)
    rows = sort_values([table.candidate(each) for each in scored], sort)
    return table.compared(
        rows,
        Comparison(
            rows=tuple(rows),
            classes=classes,
            unit=chosen,
            threshold=str(threshold),
            sort=sort,
            ddof=ddof,
            mixed=unit is None and len({*map(native_unit, runs)} - {None}) > 1,
            alpha=alpha,
            margin=margin,
            resamples=resamples,
            seed=seed,
            splits=tuple(sorted({run.experiment["split_digest"] for run in runs})),
        ),
        against,
    )


@dataclass(frozen=True, eq=False)
class _Table:
    """The runs of one table while they are compared."""

    scored: Sequence[Sequence[Scored]]
    unit: Unit
    classes: tuple[str, ...]
    ddof: int
    resamples: int
    seed: int
    alpha: float
    margin: float
    test: PairTest

    def candidate(self, runs: Sequence[Scored]) -> Candidate:
        """A row without what it takes other rows to know."""
        loaded = tuple(scored.run for scored in runs)
        failed = sum(len(run.failed) for run in loaded)
        complete = all(scored.complete for scored in runs)
        status: Status = "complete" if complete else "failed" if failed else "incomplete"
        others = {
            unit: [scored.other_units[unit] for scored in runs if unit in scored.other_units]
            for scored in runs
            for unit in scored.other_units
        }
        return Candidate(
            runs=loaded,
            status=status,
            folds=sum(len(scored.by_fold) for scored in runs),
            folds_total=sum(run.experiment["folds"] for run in loaded),
            failed=failed,
            n=0 if runs[0].items is None else len(runs[0].items.labels),
            scores={
                name: estimate(matrix(runs, name), ddof=self.ddof)
                for name in metrics_for(self.classes)
                if any(len(scored.by_fold) for scored in runs)
            },
            by_fold=fold_frame(runs),
            other_units={unit: estimate(each, ddof=self.ddof) for unit, each in others.items()},
            cost=cost_of(loaded),
        )

    def compared(
        self, rows: Sequence[Candidate], bare: Comparison, against: str | None
    ) -> Comparison:
        """Add what it takes several rows to know: intervals, pairs, letters, the audit."""
        of_row = {each[0].run.name: each for each in self.scored}
        complete = [place for place, row in enumerate(rows) if row.status == "complete"]
        if not complete:
            return bare
        runs = {place: of_row[rows[place].runs[0].name] for place in complete}
        check_same_items([scored for place in complete for scored in runs[place]])
        draws = resample(list(runs.values()), resamples=self.resamples, seed=self.seed)
        contenders = [
            Contender(place, runs[place], np.stack(matrix(runs[place], "auc")), each["auc"])
            for place, each in zip(complete, draws, strict=True)
        ]
        contenders = [each for each in contenders if np.isfinite(each.areas).any()]
        pairs = compare_pairs(contenders, alpha=self.alpha, margin=self.margin, test=self.test)
        best_first = sorted(contenders, key=lambda each: -float(np.nanmean(each.areas)))
        order = [each.place for each in best_first]
        letters = letters_of(pairs, order, alpha=self.alpha) if pairs else {}
        shortcuts, bars = self._shortcuts(contenders)
        test: Test | None = None
        if pairs:
            test = "folds" if fold_test_applies(contenders[0].areas) else "cases"
        drawn = dict(zip(complete, draws, strict=True))
        finished = [
            replace(
                row,
                scores=_with_intervals(row.scores, drawn.get(place, {}), self.alpha),
                letters=letters.get(place, ""),
                bar=bars.get(place),
            )
            for place, row in enumerate(rows)
        ]
        return replace(
            bare,
            rows=tuple(finished),
            pairs=pairs,
            against=_reference(rows, order, against) if pairs else None,
            test=test,
            design=design_of(contenders[0].areas, pairs, alpha=self.alpha)
            if test == "folds"
            else None,
            shortcuts=shortcuts,
            undefined=_undefined(runs[complete[0]]),
        )

    def _shortcuts(
        self, contenders: Sequence[Contender]
    ) -> tuple[tuple[Shortcut, ...], Mapping[int, ShortcutTest]]:
        loaded = [scored.run for each in self.scored for scored in each]
        splits = sorted({run.experiment["split_digest"] for run in loaded})
        folds = int(loaded[0].experiment["folds"])
        found = best_shortcuts(
            audits_of(loaded, splits), unit=self.unit, folds=folds, ddof=self.ddof
        )
        shortcuts = tuple(shortcut for shortcut, _, _ in found)
        bars = [(areas, items) for shortcut, areas, items in found if not shortcut.label]
        if not bars or not contenders:
            return shortcuts, {}
        areas, items = bars[0]
        places = [each.place for each in contenders]
        over_folds = fold_test_applies(contenders[0].areas - areas)
        if len(loaded) == len(self.scored) and (self.test == "combined" or not over_folds):
            cases = [case_items(each.runs[0], items.unit) for each in contenders]
            tested = against_bar_by_case(cases, items, alpha=self.alpha)
        elif over_folds:
            mine = [case_areas(each.runs) for each in contenders]
            tested = against_bar(mine, areas, alpha=self.alpha)
        else:
            return shortcuts, {}
        return shortcuts, dict(zip(places, tested, strict=True))


def _with_intervals(
    scores: Mapping[str, Estimate], draws: Mapping[str, Draws], alpha: float
) -> dict[str, Estimate]:
    """Intervals stand beside defined means only."""
    found = {}
    for name, score in scores.items():
        if name in draws and not math.isnan(score.mean):
            low, high = interval(draws[name], alpha=alpha)
            found[name] = replace(score, low=low, high=high)
        else:
            found[name] = score
    return found


def _reference(rows: Sequence[Candidate], order: Sequence[int], against: str | None) -> int:
    named = [place for place in order if against in [run.name for run in rows[place].runs]]
    return named[0] if named else order[0]


def _undefined(runs: Sequence[Scored]) -> tuple[int, ...]:
    """Numbers of the folds without an AUC."""
    missing: set[int] = set()
    for scored in runs:
        areas = scored.by_fold["auc"]
        missing.update(areas.index[areas.isna()].tolist())
    return tuple(sorted(missing))


def tables_of(runs: Iterable[LoadedRun], *, repeats: bool = False) -> list[list[LoadedRun]]:
    """Divide runs into tables: same data, same folds; with ``repeats``, the same set of folds."""
    runs = list(runs)
    tables: dict[tuple[object, ...], list[LoadedRun]] = {}
    for together in put_together(runs) if repeats else [[run] for run in runs]:
        splits = frozenset(run.experiment["split_digest"] for run in together)
        first = together[0].experiment
        tables.setdefault((first["data_digest"], first["folds"], splits), []).extend(together)
    return list(tables.values())
