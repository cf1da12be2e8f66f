"""Run results as tidy pandas frames."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TypeAlias

import pandas as pd

from volbench._api.comparisons import Comparisons
from volbench._api.frame_rows import (
    PAIRS,
    case_rows,
    fold_rows,
    history,
    leaderboard_frame,
    pair_row,
    predictions,
    summary_row,
)
from volbench._utils.choices import require_choice
from volbench._utils.text import plural
from volbench.errors import UsageError
from volbench.evaluation.items import Unit
from volbench.evaluation.statistics import PairTest
from volbench.leaderboard.statistics.compare import compare_runs, tables_of
from volbench.runs.load import LoadedRun, find_runs, load_run

AnyPath: TypeAlias = str | PathLike[str]
AnyPaths: TypeAlias = AnyPath | Iterable[AnyPath]

SHOWN = 4
"""Runs that a line names; the others are counted."""


@dataclass(frozen=True, eq=False)
class Runs:
    """Runs as frames; each is made when it is first asked for.

    Frames are wide: a row is what was observed (a fold, a prediction, an epoch), a column what
    was measured, so that ``groupby``, ``merge`` and ``plot`` work as they are; ``melt`` makes them
    long.

    Attributes:
        loaded: What was read, run by run.
        unit: What is scored; None means what the runs of a table predict.
        threshold: How two classes are told apart: a number or a rule such as ``youden``.
        repeats: Whether runs that differ in the seed only are one row of ``summary``.
        test: The test over folds that decides: ``combined`` or ``corrected_t``.
        across_inputs: Whether runs on other images of the same patients share a table.

    >>> import volbench
    >>> runs = volbench.load_runs("runs")
    >>> list(runs.leaderboard.columns[:6])
    ['encoder', 'agg', 'folds', 'auc', 'low', 'high']
    >>> runs.folds.groupby("run")["auc"].mean().idxmax()
    'mine'
    """

    loaded: tuple[LoadedRun, ...]
    unit: Unit | None = None
    threshold: str | float = 0.5
    repeats: bool = False
    test: PairTest = "combined"
    across_inputs: bool = False

    def __repr__(self) -> str:
        names = [run.name for run in self.loaded]
        shown = ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
        total = sum(int(run.experiment["folds"]) for run in self.loaded)
        finished = sum(len(run.predictions) for run in self.loaded)
        return f"<{plural(len(names), 'run')}, {finished} of {total} folds finished: {shown}>"

    def _repr_html_(self) -> str:
        return self.comparisons._repr_html_()

    @cached_property
    def comparisons(self) -> Comparisons:
        """One comparison per table: runs on the same data and folds."""
        return Comparisons(
            compare_runs(
                together,
                unit=self.unit,
                threshold=self.threshold,
                repeats=self.repeats,
                test=self.test,
            )
            for together in tables_of(
                self.loaded, repeats=self.repeats, across_inputs=self.across_inputs
            )
        )

    @cached_property
    def leaderboard(self) -> pd.DataFrame:
        """The leaderboard in a few columns; `summary` has all of them.

        Columns: ``table`` if there are several; what tells the rows apart (components, and the
        settings in which they differ); ``folds`` finished; ``auc`` with ``low`` and ``high`` of
        its 95 % interval; ``letters``, which rows share that cannot be told apart; the means of
        the other headline metrics.
        """
        frames = [leaderboard_frame(comparison) for comparison in self.comparisons]
        if len(frames) == 1:
            return frames[0]
        return pd.concat(frames, keys=range(len(frames)), names=["table"]).reset_index("table")

    @cached_property
    def summary(self) -> pd.DataFrame:
        """The leaderboard, table by table, largest AUC first.

        Columns: ``table``, ``run``, its ``path``, the components, ``data`` with its digests,
        ``unit``, ``threshold``, ``status``, ``folds`` done of ``folds_total``, ``failed``, ``n``;
        of each metric ``_mean`` and ``_std`` over folds, ``_low`` and ``_high`` of the 95 %
        interval; ``auc_<unit>_mean`` at other units; ``letters``; ``beats_audit``, missing where
        there is no audit; size and speed with the ``machine`` they belong to.
        """
        rows = [
            summary_row(number, comparison, candidate)
            for number, comparison in enumerate(self.comparisons)
            for candidate in comparison.rows
        ]
        return pd.DataFrame(rows).astype({"beats_audit": "boolean"})

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """All paired comparisons of AUC; differences are ``first`` minus ``second``.

        ``p_holm`` is adjusted for the table; ``p_worse``, ``p_same`` and ``p_better`` are the
        probabilities that ``first`` is worse, practically the same (within ``margin``) or better.
        """
        rows = [
            pair_row(number, comparison, pair)
            for number, comparison in enumerate(self.comparisons)
            for pair in comparison.pairs
        ]
        return pd.DataFrame(rows, columns=list(PAIRS))

    @cached_property
    def folds(self) -> pd.DataFrame:
        """One row per run and fold: ``status``, every metric, size and speed.

        A fold that failed, or is missing, is a row without metrics; ``error`` says why it failed.
        """
        rows = [
            row
            for comparison in self.comparisons
            for candidate in comparison.rows
            for run in candidate.runs
            for row in fold_rows(run, comparison.unit, candidate.by_fold)
        ]
        return pd.DataFrame(rows)

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """Held-out predictions: ``run,fold,case,patient,label,slice,prob_<class>``.

        ``slice`` is missing at volume level.
        """
        return predictions((run, run.predictions) for run in self.loaded)

    @cached_property
    def validation(self) -> pd.DataFrame:
        """Predictions of the inner validation parts, as ``predictions``; ``fold`` is held out."""
        return predictions((run, run.validation) for run in self.loaded)

    @cached_property
    def cases(self) -> pd.DataFrame:
        """What is known of each case: the columns of cases.csv, after ``run``."""
        return pd.DataFrame([row for run in self.loaded for row in case_rows(run)])

    @cached_property
    def history(self) -> pd.DataFrame:
        """Losses by epoch: the columns of history.csv, after ``run`` and ``fold``.

        Raises:
            StateError: a file is missing or was changed.
        """
        frames = [history(run, fold) for run in self.loaded for fold in run.predictions]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def load_runs(
    *paths: AnyPaths,
    unit: Unit | None = None,
    threshold: str | float = 0.5,
    repeats: bool = False,
    test: PairTest = "combined",
    across_inputs: bool = False,
) -> Runs:
    """Read runs: those named and those inside the folders named; all in ``runs`` by default.

    Args:
        *paths: Run folders, or folders of them; lists of these, too.
        unit: ``slice``, ``case`` or ``patient``; None means what the runs predict.
        threshold: Where two classes part: a number, or a rule that sets it on the validation part
            of each fold: ``youden``, ``specificity=0.9``, ``sensitivity=0.9``.
        repeats: Whether runs that differ in the seed only are one row of the summary.
        test: The test over folds that decides: ``combined``, the cross-validated z-test, or
            ``corrected_t``.
        across_inputs: Whether runs on other images of the same patients, with the same labels and
            folds, share a table.

    Raises:
        UsageError: a path holds no run or is none, or an unknown unit or test.
        StateError: a file of a run is missing or damaged.

    >>> load_runs("runs/mine", "runs/other")
    <2 runs, 10 of 10 folds finished: mine, other>
    """
    require_choice("unit", unit, Unit)
    require_choice("test", test, PairTest)
    found = find_runs(_each(paths or ("runs",)))
    return Runs(tuple(map(load_run, found)), unit, threshold, repeats, test, across_inputs)


def _each(paths: Iterable[AnyPaths]) -> Iterator[Path]:
    """The paths, those within a list one by one."""
    for path in paths:
        if isinstance(path, str | PathLike):
            yield Path(path)
        elif isinstance(path, Iterable):
            yield from _each(path)
        else:
            raise UsageError(f"{path!r} is no path; give run folders or folders of runs")
