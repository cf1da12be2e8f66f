"""Leaderboard: one row per run, every metric recomputed from its held-out predictions."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain
from statistics import fmean

import pandas as pd

from volbench.leaderboard.runs import LoadedRun
from volbench.metrics import metrics_for
from volbench.scores import fold_scores as fold_scores_of
from volbench.scores import gather

DDOF = 1
"""Standard deviations in tables are those of a sample of folds."""


def comparable(runs: Iterable[LoadedRun]) -> dict[tuple[str, str], list[LoadedRun]]:
    """Group runs by data and split; only runs of one group may stand in one table."""
    groups: dict[tuple[str, str], list[LoadedRun]] = defaultdict(list)
    for run in runs:
        groups[run.protocol].append(run)
    return dict(groups)


def fold_scores(run: LoadedRun) -> pd.DataFrame:
    """Metrics of every finished fold: one row per fold, one column per metric."""
    rows = chain.from_iterable(run.predictions.values())
    frame = fold_scores_of(gather(rows, run.classes))
    return frame[[name for name in metrics_for(run.classes) if name in frame]]


def leaderboard(runs: Sequence[LoadedRun], *, sort: str = "auc") -> pd.DataFrame:
    """Tabulate runs on the same data and split, best first.

    Columns: the components, ``folds`` done of ``folds_total``, ``n`` held-out items, mean and
    standard deviation over folds of every metric, parameters, and the means over folds of seconds,
    samples per second and peak memory.
    """
    frame = pd.DataFrame([_row(run) for run in runs])
    return frame.sort_values(
        f"{sort}_mean" if f"{sort}_mean" in frame else sort,
        ascending=_ascending(sort, runs),
        ignore_index=True,
        kind="stable",
    )


def _ascending(column: str, runs: Sequence[LoadedRun]) -> bool:
    """Whether a table sorted by this column begins with the smallest."""
    metrics = {name: m for run in runs for name, m in metrics_for(run.classes).items()}
    if column in metrics:
        return not metrics[column].higher_is_better
    return column in ("parameters", "seconds", "peak_memory_mb")


def sort_keys(runs: Sequence[LoadedRun]) -> list[str]:
    """What a table of these runs can be sorted by."""
    metrics = [column for run in runs for column in fold_scores(run).columns]
    return [*dict.fromkeys(metrics), "parameters", "seconds", "samples_per_second"]


def _row(run: LoadedRun) -> dict[str, object]:
    scores = fold_scores(run)
    finished = [result for result in run.results.values() if result.status == "finished"]
    row: dict[str, object] = {
        "run": run.name,
        **_components(run),
        "folds": len(finished),
        "folds_total": run.experiment["folds"],
        "failed": len(run.failed),
        "n": sum(map(len, run.predictions.values())),
    }
    for metric in scores.columns:
        row[f"{metric}_mean"] = scores[metric].mean(skipna=False)
        row[f"{metric}_std"] = scores[metric].std(ddof=DDOF, skipna=False)
    row["parameters"] = next((result.parameters for result in finished), None)
    for quantity in ("seconds", "samples_per_second", "peak_memory_mb"):
        values = [getattr(result, quantity) for result in finished]
        row[quantity] = fmean(values) if values else None
    return row


def _components(run: LoadedRun) -> dict[str, str]:
    experiment = run.experiment
    return {
        "encoder": experiment["encoder"],
        "aggregator": experiment["aggregator"] or "(slices)",
        "loss": experiment["loss"],
    }


def components_tell_apart(runs: Sequence[LoadedRun]) -> bool:
    """Whether components alone tell the rows apart; otherwise the run's name must be shown."""
    counted = Counter(tuple(_components(run).values()) for run in runs)
    return all(number == 1 for number in counted.values())
