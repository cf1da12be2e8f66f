"""Rows of the result frames: candidate, fold, prediction, case, epoch."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import pandas as pd

from volbench.evaluation.items import Unit
from volbench.evaluation.metrics import metrics_for
from volbench.leaderboard.identity import identities
from volbench.leaderboard.render.json import COMPARED, cost_values, progress_values, score_values
from volbench.leaderboard.selection import COSTS
from volbench.leaderboard.statistics.comparison import Candidate, Comparison, Pair
from volbench.runs.cases_file import STRATUM
from volbench.runs.load import LoadedRun, read_history
from volbench.runs.predictions_file import Prediction

Row: TypeAlias = dict[str, object]

COMPONENTS = ("encoder", "aggregator", "loss", "level", "seed")
PREDICTED = ("fold", "case", "patient", "label", "slice")
PAIRS = (
    "table",
    "first",
    "second",
    *COMPARED,
    "p_worse",
    "p_same",
    "p_better",
    "margin",
    "verdict",
    "test",
    "decided_by",
)
"""Columns of the frame of pairs, there even where no pair is."""


def summary_row(number: int, comparison: Comparison, candidate: Candidate) -> Row:
    """A row of the leaderboard; ``number`` is that of its table."""
    experiment = candidate.runs[0].experiment
    scores: dict[str, float] = {}
    for metric in metrics_for(comparison.classes):
        scores |= score_values(metric, candidate.score(metric))
    return {
        "table": number,
        "run": candidate.name,
        "path": str(candidate.runs[0].path),
        "encoder": candidate.encoder,
        "aggregator": experiment["aggregator"],
        "loss": candidate.loss,
        "level": candidate.level,
        "seed": ", ".join(map(str, candidate.seeds)),
        "data": candidate.runs[0].data,
        "data_digest": experiment["data_digest"],
        "split_digest": ", ".join(comparison.splits),
        "unit": comparison.unit,
        "threshold": comparison.threshold,
        **progress_values(candidate),
        **scores,
        **{f"auc_{unit}_mean": score.mean for unit, score in candidate.other_units.items()},
        "letters": candidate.letters,
        "beats_audit": None if candidate.bar is None else candidate.bar.beaten,
        **cost_values(candidate.cost),
    }


def leaderboard_frame(comparison: Comparison) -> pd.DataFrame:
    """What tells the rows apart, their folds, AUC with its interval, letters, headline metrics."""
    rows = comparison.rows
    columns, _ = identities(rows)
    areas = [row.score("auc") for row in rows]
    means = {
        metric.name: [row.score(metric.name).mean for row in rows]
        for metric in metrics_for(comparison.classes).values()
        if metric.headline and metric.name != "auc"
    }
    return pd.DataFrame(
        {
            **{name.replace("\n", " "): texts for name, texts in columns.items()},
            "folds": [f"{row.folds}/{row.folds_total}" for row in rows],
            "auc": [area.mean for area in areas],
            "low": [area.low for area in areas],
            "high": [area.high for area in areas],
            "letters": [row.letters for row in rows],
            **means,
        }
    )


def pair_row(number: int, comparison: Comparison, pair: Pair) -> Row:
    """A pair of candidates of a table."""
    rope = pair.rope
    return {
        "table": number,
        "first": comparison.rows[pair.first].name,
        "second": comparison.rows[pair.second].name,
        **{name: getattr(pair, name) for name in COMPARED},
        "p_worse": rope and rope.worse,
        "p_same": rope and rope.same,
        "p_better": rope and rope.better,
        "margin": comparison.margin,
        "verdict": pair.verdict,
        "test": comparison.test,
        "decided_by": pair.test,
    }


def fold_rows(run: LoadedRun, unit: Unit, by_fold: pd.DataFrame) -> Iterator[Row]:
    """Every fold of a run, finished or not."""
    for fold in range(int(run.experiment["folds"])):
        result = run.results.get(fold)
        finished = result is not None and result.status == "finished"
        yield {
            "run": run.name,
            **{name: run.experiment[name] for name in COMPONENTS},
            "fold": fold,
            "status": "missing" if result is None else result.status,
            "error": None if result is None else result.error,
            "unit": unit,
            **(
                {str(name): by_fold.at[(run.name, fold), name] for name in by_fold}
                if finished
                else {}
            ),
            "selected_epoch": None if result is None else result.selected_epoch,
            **{name: None if result is None else getattr(result, name) for name in COSTS},
        }


def predictions(
    parts: Iterable[tuple[LoadedRun, Mapping[int, Sequence[Prediction]]]],
) -> pd.DataFrame:
    """Predictions of runs, by fold, as one frame."""
    rows = [
        {
            "run": run.name,
            **{name: getattr(row, name) for name in PREDICTED},
            **dict(zip([f"prob_{name}" for name in run.classes], row.probabilities, strict=True)),
        }
        for run, part in parts
        for fold in part.values()
        for row in fold
    ]
    frame = pd.DataFrame(rows) if rows else pd.DataFrame(columns=["run", *PREDICTED])
    return frame.astype({"slice": "Int64"})


def case_rows(run: LoadedRun) -> Iterator[Row]:
    """The rows of a run's cases.csv."""
    for row in run.case_rows:
        yield {
            "run": run.name,
            **{name: getattr(row, name) for name in ("case", "patient", "label", "fold")},
            **dict(zip(("slices", "rows", "columns"), row.shape, strict=True)),
            **dict(zip(("slice_mm", "row_mm", "column_mm"), row.spacing_mm, strict=True)),
            "roi_mm3": row.roi_mm3,
            "plane": row.plane,
            **{STRATUM + name: value for name, value in row.strata.items()},
        }


def history(run: LoadedRun, fold: int) -> pd.DataFrame:
    """The epochs of a finished fold.

    Raises:
        StateError: the file is missing or was changed.
    """
    frame = read_history(run, fold)
    frame.insert(0, "run", run.name)
    frame.insert(1, "fold", fold)
    return frame
