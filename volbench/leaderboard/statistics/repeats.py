"""Repeats: runs that differ only in the seed, pooled as one candidate."""

import json
from collections.abc import Iterable

from volbench.runs.load import LoadedRun

OTHERWISE = (
    *("encoder", "aggregator", "loss", "level", "recipe", "precision", "folds"),
    *("tuning", "tabular", "permuted", "train_share"),
)
"""What repeats have in common beside the data; the seed, and the folds that follow it, differ."""


def put_together(runs: Iterable[LoadedRun]) -> list[list[LoadedRun]]:
    """Group runs by everything but the seed; each group sorted by seed."""
    groups: dict[str, list[LoadedRun]] = {}
    for run in runs:
        experiment = run.experiment
        key = [experiment["data_digest"], *(experiment.get(name) for name in OTHERWISE)]
        groups.setdefault(json.dumps(key, sort_keys=True), []).append(run)
    return [sorted(group, key=lambda run: int(run.experiment["seed"])) for group in groups.values()]
