"""Rows of a run suite beside the published rows, with rank correlation."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from volbench.errors import SpecError
from volbench.evaluation.metrics import METRICS, Metric, metrics_for
from volbench.experiment.setting_differences import COMPONENTS, differing_settings
from volbench.leaderboard.render.terminal import mean_std
from volbench.leaderboard.statistics.run_scores import estimate, native_unit, score_run
from volbench.runs.load import LoadedRun
from volbench.spec import parse, parse_sum

MeanStd = tuple[float, float]


@dataclass(frozen=True)
class PublishedRow:
    """One candidate: our run of it, if there is one, and what was published, if anything.

    Attributes:
        aggregator: None at slice level.
        remark: Stands where our AUC would, if there is none.
        reported: Mean and standard deviation by metric, as fractions.
        planned: As much of its experiment as is known before it is run.
    """

    encoder: str
    aggregator: str | None
    loss: str
    run: LoadedRun | None = None
    remark: str = "not run"
    reported: Mapping[str, MeanStd] = field(default_factory=dict[str, MeanStd])
    planned: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @cached_property
    def scores(self) -> pd.DataFrame | None:
        """Metrics of each finished fold, from its predictions; None before any."""
        unit = native_unit(self.run) if self.run is not None else None
        if self.run is None or unit is None:
            return None
        return score_run(self.run, unit=unit, threshold=0.5).by_fold

    @cached_property
    def names(self) -> tuple[str, str, str]:
        """What it shares with rows that correspond."""
        return components(self.encoder, self.aggregator, self.loss)


def row_of(run: LoadedRun, *, reported: Mapping[str, MeanStd]) -> PublishedRow:
    """The row of a run, named by the run's own components."""
    experiment = run.experiment
    return PublishedRow(
        encoder=experiment["encoder"],
        aggregator=experiment["aggregator"],
        loss=experiment["loss"],
        run=run,
        remark="no fold done",
        reported=reported,
    )


@dataclass(frozen=True)
class Agreement:
    """Rank correlations of two columns of mean AUCs; NaN where one of them is constant."""

    n: int
    spearman: float
    kendall: float

    def __str__(self) -> str:
        return (
            f"Order of the rows: Spearman {self.spearman:.2f}, Kendall {self.kendall:.2f} between "
            f"our mean AUCs and the paper's, n = {self.n} rows. This describes these rows; it is "
            "no test, and so few rows can agree or disagree by chance."
        )


def components(encoder: str, aggregator: str | None, loss: str) -> tuple[str, str, str]:
    """What two rows must share to correspond: the names, without any options.

    >>> components("rmc5(width=8)", None, "triplet(margin=1)+0.5*focal")
    ('rmc5', '', 'focal+triplet')
    """
    try:
        names = sorted(term.spec.name for term in parse_sum(loss).terms)
        pooling = "" if aggregator is None else parse(aggregator).name
        return parse(encoder).name, pooling, "+".join(names)
    except SpecError:  # written by hand or by another version; it corresponds to nothing
        return encoder, aggregator or "", loss


def summary(row: PublishedRow, *, ddof: int) -> dict[str, MeanStd]:
    """Mean and standard deviation over finished folds of every metric; empty before any."""
    if row.scores is None:
        return {}
    found = {
        str(name): estimate([column.to_numpy()], ddof=ddof) for name, column in row.scores.items()
    }
    return {name: (score.mean, score.std) for name, score in found.items()}


def cells(rows: Sequence[PublishedRow], *, ddof: int) -> dict[str, list[str]]:
    """Show rows as columns of text: AUC, accuracy and the recalls that ours and theirs share.

    Beside published rows, percentages stand without their standard deviations, which would not fit.
    """
    ours = [summary(row, ddof=ddof) for row in rows]
    both = any(row.reported for row in rows)
    shown = _identities(rows)
    shown["folds"] = [_folds(row.run) for row in rows]
    remarks = [row.remark if not score else "" for row, score in zip(rows, ours, strict=True)]
    who = "\nours" if both else ""
    for metric in metrics(rows):
        mine = [_cell(metric, score.get(metric.name), brief=both) for score in ours]
        if metric.name == "auc":
            mine = [remark or cell for remark, cell in zip(remarks, mine, strict=True)]
        shown[metric.column + who] = mine
        if both:
            theirs = [_cell(metric, row.reported.get(metric.name), brief=True) for row in rows]
            shown[f"{metric.column}\npaper"] = theirs
    return shown


def metrics(rows: Sequence[PublishedRow]) -> list[Metric]:
    """AUC, accuracy, and recalls: all of ours, or beside published rows those published too."""
    published = {name for row in rows for name in row.reported}
    measured = [row.run.classes for row in rows if row.run is not None and row.run.classes]
    if not measured:  # nothing of ours yet that could contradict the class names
        recalls = [name for name in published if name.startswith("recall_")]
        measured = [tuple(sorted(name.removeprefix("recall_") for name in recalls))]
    known = {metric.name: metric for each in measured for metric in metrics_for(each).values()}
    return [
        metric
        for name, metric in known.items()
        if metric.headline and (name in METRICS or not published or name in published)
    ]


def agreement(rows: Sequence[PublishedRow]) -> Agreement | None:
    """Compare orders over the rows that are published and that one complete run of ours matches.

    Returns:
        None for fewer than three such rows.
    """
    counted = [row.names for row in rows if row.run]
    pairs = [
        (summary(row, ddof=0)["auc"][0], row.reported["auc"][0])
        for row in rows
        if row.run is not None
        and len(row.run.predictions) == row.run.experiment["folds"]
        and "auc" in row.reported
        and counted.count(row.names) == 1
    ]
    pairs = [pair for pair in pairs if not any(map(math.isnan, pair))]
    if len(pairs) < 3:
        return None
    mine, theirs = np.array(pairs).T
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        rho, tau = stats.spearmanr(mine, theirs), stats.kendalltau(mine, theirs)
    return Agreement(len(pairs), float(rho.statistic), float(tau.statistic))


def resolvable(folds: int) -> float:
    r"""Smallest mean difference with p < .05, in standard deviations of the fold differences.

    Nadeau and Bengio (2003): $t_{k-1} \sqrt{1/k + 1/(k-1)}$ for $k$ folds.
    """
    return float(stats.t.ppf(0.975, folds - 1) * math.sqrt(1 / folds + 1 / (folds - 1)))


def incomplete(rows: Sequence[PublishedRow]) -> list[str]:
    """One note for each run that lacks folds."""
    return [
        f"{'Stopped by a race' if row.run.race else 'Incomplete'}: {row.run.name} has "
        f"{len(row.run.predictions)} of {row.run.experiment['folds']} folds; its means are over "
        "those only."
        for row in rows
        if row.run is not None and 0 < len(row.run.predictions) < row.run.experiment["folds"]
    ]


def _identities(rows: Sequence[PublishedRow]) -> dict[str, list[str]]:
    """Show what differs, and the runs' names where components and settings do not tell apart."""
    components = [{name: getattr(row, name) for name in COMPONENTS} for row in rows]
    known = [
        {**(row.run.experiment if row.run else row.planned), **named}
        for row, named in zip(rows, components, strict=True)
    ]
    shown = {each.heading: list(each.texts) for each in differing_settings(known)}
    if not shown:
        shown = {"encoder": [row.encoder for row in rows]}
    if len(set(zip(*shown.values(), strict=True))) < len(rows):
        shown = {"run": [row.run.name if row.run else "" for row in rows], **shown}
    return shown


def _folds(run: LoadedRun | None) -> str:
    return "" if run is None else f"{len(run.predictions)}/{run.experiment['folds']}"


def _cell(metric: Metric, score: MeanStd | None, *, brief: bool) -> str:
    if score is None:
        return ""
    mean, std = score
    return mean_std(mean, math.nan if brief and metric.percent else std, percent=metric.percent)
