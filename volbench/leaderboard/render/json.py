"""Comparison as JSON values; schema in docs/reference/compare.md."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from volbench.leaderboard.identity import row_labels, row_settings
from volbench.leaderboard.render.learning_curve import learning_curves, share_of
from volbench.leaderboard.render.per_class import class_values
from volbench.leaderboard.statistics.comparison import Candidate, Comparison, Cost, Pair
from volbench.leaderboard.statistics.next_design import next_designs
from volbench.leaderboard.statistics.run_scores import Estimate
from volbench.leaderboard.statistics.seed_variance import seed_variance
from volbench.leaderboard.statistics.strata import ByStratum
from volbench.leaderboard.text import headline_notes

SCHEMA = 2
COMPARED = (
    "difference",
    "low",
    "high",
    "std",
    "standard_error",
    "p",
    "p_holm",
    "p_delong",
    "p_bootstrap",
)
"""What is measured of a pair, under these names wherever it is written."""


def to_json(found: Comparison, strata: Sequence[ByStratum] = ()) -> dict[str, Any]:
    """One table; NaN is None."""
    run = found.first_run
    values = {
        "data": run.data,
        "cases": run.cases,
        "patients": run.patients,
        "classes": list(found.classes),
        "data_digest": run.protocol[0],
        "split_digest": found.splits[0] if len(found.splits) == 1 else None,
        "split_digests": list(found.splits),
        "folds": run.experiment["folds"],
        "repeats": found.repeats,
        "unit": found.unit,
        "threshold": found.threshold,
        "sort": found.sort,
        "ddof": found.ddof,
        "test": found.test,
        "alpha": found.alpha,
        "margin": found.margin,
        "resamples": found.resamples,
        "seed": found.seed,
        "undefined_folds": list(found.undefined),
        "one_machine": found.one_machine,
        "against": None if found.against is None else found.rows[found.against].name,
        "design": found.design and asdict(found.design),
        "next_designs": [asdict(design) for design in next_designs(found)],
        "learning_curves": [list(map(_share_values, rows)) for rows in learning_curves(found)],
        "differing": [setting.key for setting in row_settings(found.rows)],
        "rows": rows_values(found.rows),
        "pairs": pairs_values(found),
        "audit": [asdict(shortcut) for shortcut in found.shortcuts],
        "strata": [
            {"column": table.column, "rows": table.frame.to_dict(orient="records")}
            for table in strata
        ],
        "notes": headline_notes(found, stacked=False),
    }
    return {name: plain(value) for name, value in values.items()}


def _share_values(row: Candidate) -> dict[str, Any]:
    """A point of a learning curve over patients."""
    point = {"run": row.name, "train_share": share_of(row)}
    return {**point, **score_values("auc", row.score("auc"))}


def rows_values(rows: Sequence[Candidate]) -> list[dict[str, Any]]:
    """Rows in flat columns, last the settings in which they differ; also the lines of the CSV."""
    settings = row_settings(rows)
    return [
        {
            **row_values(row),
            "classes": class_values(row),
            **{each.key: each.known[place] for each in settings},
        }
        for place, row in enumerate(rows)
    ]


def row_values(row: Candidate) -> dict[str, Any]:
    """A row in flat columns."""
    values: dict[str, Any] = {
        "run": row.name,
        "runs": [run.name for run in row.runs],
        "seeds": list(row.seeds),
        "encoder": row.encoder,
        "aggregator": row.aggregator,
        "loss": row.loss,
        "level": row.level,
        **progress_values(row),
        "group": row.letters,
        "optimism": row.optimism,
        "selected_on_these_data": row.selected_on_these_data,
    }
    spread = seed_variance(row)
    values["auc_std_of_seeds"] = spread and spread.of_seeds
    values["auc_std_of_patients"] = spread and spread.of_patients
    for name, score in row.scores.items():
        values |= score_values(name, score)
    for unit, score in row.other_units.items():
        values |= {f"auc_per_{unit}_mean": score.mean, f"auc_per_{unit}_std": score.std}
    values |= cost_values(row.cost)
    values["beats_audit"] = None if row.bar is None else row.bar.beaten
    for name in ("difference", "low", "high", "p"):
        values[f"audit_{name}"] = None if row.bar is None else getattr(row.bar, name)
    return values


def progress_values(row: Candidate) -> dict[str, Any]:
    """How much of a row there is."""
    counted = ("status", "folds", "folds_total", "failed", "n")
    stopped = None if row.stop is None else row.stop.text
    return {**{name: getattr(row, name) for name in counted}, "stopped": stopped}


def score_values(metric: str, score: Estimate) -> dict[str, float]:
    """A metric's mean, standard deviation and interval."""
    return {f"{metric}_{name}": value for name, value in asdict(score).items()}


def cost_values(cost: Cost) -> dict[str, Any]:
    """Size and speed; machines in one text."""
    return {**asdict(cost), "machine": "; ".join(cost.machine)}


def pairs_values(found: Comparison) -> list[dict[str, Any]]:
    """Every pair in flat columns; also the lines of the CSV."""
    labels = row_labels(found.rows)
    return [_pair_values(pair, found.rows, labels) for pair in found.pairs]


def _pair_values(pair: Pair, rows: Sequence[Candidate], labels: Sequence[str]) -> dict[str, Any]:
    """Two rows by name, and what was found of them."""
    rope = pair.rope
    return {
        "run": rows[pair.first].name,
        "against": rows[pair.second].name,
        "run_label": labels[pair.first],
        "against_label": labels[pair.second],
        **{name: getattr(pair, name) for name in COMPARED},
        "probability_worse": rope and rope.worse,
        "probability_same": rope and rope.same,
        "probability_better": rope and rope.better,
        "decided_by": pair.test,
        "verdict": pair.verdict,
    }


def plain(value: object) -> object:
    """What JSON knows: NaN and infinity become None, NumPy's numbers Python's."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
