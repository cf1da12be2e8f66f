"""Scores of a run per fold, with items in an order shared by all runs."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pandas as pd
from jaxtyping import Float

from volbench.errors import StateError
from volbench.evaluation.items import Items, Unit, gather, units_of
from volbench.evaluation.metrics import metrics_for
from volbench.evaluation.score_tables import fold_scores
from volbench.evaluation.statistics.spread import spread
from volbench.runs.load import LoadedRun, named_otherwise

Folds = Float[np.ndarray, " fold"]

DDOF = 1
"""Standard deviations in tables are those of a sample of folds, unless asked otherwise."""


@dataclass(frozen=True)
class Estimate:
    """A metric over folds.

    Attributes:
        mean: NaN where it is undefined in a fold.
        std: Standard deviation over folds.
        low: Lower end of the 95 % interval of the mean over the drawing of patients; NaN where
            there is none: of an incomplete run, of a metric that is no quotient of sums.
        high: Upper end.
    """

    mean: float
    std: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True, eq=False)
class Scored:
    """A run at one unit.

    Attributes:
        items: Sorted by name; None before any fold is done.
        by_fold: One row per finished fold, one column per metric.
        other_units: AUC of each fold at the other units that its predictions allow.
    """

    run: LoadedRun
    items: Items | None
    by_fold: pd.DataFrame
    other_units: Mapping[Unit, Folds]

    def __repr__(self) -> str:
        return f"<scores of {self.run!r}>"

    @property
    def slice_areas(self) -> Folds:
        """AUC of each fold at the run's own unit: that of cases where each has one slice."""
        return np.asarray(self.by_fold["auc"], dtype=np.float64)

    @property
    def complete(self) -> bool:
        """Whether every fold is finished."""
        return len(self.by_fold) == int(self.run.experiment["folds"])


def native_unit(run: LoadedRun) -> Unit | None:
    """What a row of its predictions is; None before any fold is done."""
    first = next(chain.from_iterable(run.predictions.values()), None)
    if first is None:
        return None
    return "case" if first.slice is None else "slice"


def score_run(run: LoadedRun, *, unit: Unit, threshold: str | float) -> Scored:
    """Score every finished fold.

    Raises:
        UsageError: its rows cannot be put together so, or the threshold cannot be set so.
    """
    rows = list(chain.from_iterable(run.predictions.values()))
    names = list(metrics_for(run.classes))
    if not rows:
        return Scored(run, None, pd.DataFrame(columns=names), {})
    validation = run.validation
    items = sorted_items(
        gather(rows, run.classes, unit=unit, threshold=threshold, validation=validation)
    )
    others = {
        other: fold_areas(gather(rows, run.classes, unit=other))
        for other in units_of(rows)
        if other != unit
    }
    return Scored(run, items, fold_scores(items)[names], others)


def sorted_items(items: Items) -> Items:
    """Put items into the order of their names."""
    keys = item_names(items)
    return items.take(np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64))


def item_names(items: Items) -> list[tuple[str, int, int]]:
    """Key of an item: the case, the case and slice, or the patient; of random splits the fold too.

    Of divisions into folds it is left out, as repeats hold out the same items in other folds.
    """
    repeated = items.repeated
    return [
        (
            rows[0].patient if items.unit == "patient" else rows[0].case,
            (rows[0].slice or 0) if items.unit == "slice" else 0,
            rows[0].fold if repeated else 0,
        )
        for rows in items.rows
    ]


def fold_areas(items: Items) -> Folds:
    """AUC of each fold, by number."""
    area = metrics_for(items.classes)["auc"]
    folds = items.folds
    return np.array(
        [
            area(items.labels[folds == fold], items.probabilities[folds == fold])
            for fold in np.unique(folds)
        ]
    )


def matrix(runs: Sequence[Scored], metric: str) -> list[Folds]:
    """A metric by division into folds: of several seeds on the same folds, their mean."""
    by_split: dict[str, list[pd.Series]] = {}
    for scored in runs:
        if metric in scored.by_fold:
            by_split.setdefault(scored.run.division, []).append(scored.by_fold[metric])
    return [
        np.asarray(pd.concat(each, axis=1).mean(axis=1, skipna=False), dtype=np.float64)
        if len(each) > 1
        else np.asarray(each[0], dtype=np.float64)
        for _, each in sorted(by_split.items())
    ]


def held_out_ratio(run: LoadedRun) -> float | None:
    """Held-out cases per case learned from, where it is not that of a division into folds."""
    if not run.repeated:
        return None
    held_out = [len({row.case for row in rows}) for rows in run.predictions.values()]
    return float(np.mean([count / (run.cases - count) for count in held_out]))


def case_areas(runs: Sequence[Scored]) -> Float[np.ndarray, "repeat fold"]:
    """AUC by division and fold; at the unit of slices, that of their cases."""
    if runs[0].items is None or runs[0].items.unit != "slice":
        return np.stack(matrix(runs, "auc"))
    by_split: dict[str, list[Folds]] = {}
    for scored in runs:
        division = scored.run.division
        by_split.setdefault(division, []).append(scored.other_units.get("case", scored.slice_areas))
    return np.stack([np.mean(each, axis=0) for _, each in sorted(by_split.items())])


def case_items(scored: Scored, unit: Unit) -> Items:
    """Its items, one per case or patient, sorted."""
    assert scored.items is not None
    if scored.items.unit == unit:
        return scored.items
    rows = chain.from_iterable(scored.run.predictions.values())
    return sorted_items(gather(rows, scored.run.classes, unit=unit))


def estimate(values: Iterable[Folds], *, ddof: int) -> Estimate:
    """Mean and standard deviation over all folds; NaN where one of them is, or there are none."""
    each = np.concatenate([np.zeros(0), *values])
    mean = float(each.mean()) if len(each) else float("nan")
    return Estimate(mean, float(spread(each, ddof=ddof)))


def fold_frame(runs: Sequence[Scored]) -> pd.DataFrame:
    """Metrics of every finished fold, indexed by the run's name and the fold."""
    frames = {scored.run.name: scored.by_fold for scored in runs if len(scored.by_fold)}
    if not frames:
        return runs[0].by_fold
    return pd.concat(frames, names=["run", "fold"])


def check_same_items(runs: Sequence[Scored]) -> None:
    """Runs are paired item by item, so they must have held out the same ones.

    Raises:
        StateError: they have not.
    """
    known = [scored for scored in runs if scored.items is not None]
    for scored in known[1:]:
        first, other = known[0].items, scored.items
        assert first is not None
        assert other is not None
        what = None
        if first.classes != other.classes:
            what = "name other classes"
        elif item_names(first) != item_names(other) or (first.labels != other.labels).any():
            what = f"predict other {first.unit}s"
        if what:
            where, way_out = "data and folds", "run one again"
            if first.unit == "slice":
                way_out = "compare them with --unit case"
            elif named_otherwise([known[0].run, scored.run]):
                where, way_out = "patients and folds", "compare them with --unit patient"
            raise StateError(
                f"{known[0].run.name} and {scored.run.name} {what}, on the same {where}; {way_out}"
            )
