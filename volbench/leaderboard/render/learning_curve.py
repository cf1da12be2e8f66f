"""Learning curve over patients: rows that differ in how many patients they learn from."""

import json
from collections import defaultdict

from volbench.leaderboard.published.base import TextTable
from volbench.leaderboard.statistics.comparison import Candidate, Comparison
from volbench.leaderboard.statistics.repeats import OTHERWISE

BAR = 20


def share_of(row: Candidate) -> float:
    """Share of each training part that a row learns from."""
    return float(row.runs[0].experiment.get("train_share", 1.0))


def learning_curves(found: Comparison) -> list[list[Candidate]]:
    """Rows that differ in their share of patients only, the smallest share first."""
    curves: dict[str, list[Candidate]] = defaultdict(list)
    for row in found.rows:
        experiment = row.runs[0].experiment
        key = [experiment.get(name) for name in OTHERWISE if name != "train_share"]
        key.append(row.seeds)
        curves[json.dumps(key, sort_keys=True)].append(row)
    return [
        sorted(rows, key=share_of) for rows in curves.values() if len({*map(share_of, rows)}) > 1
    ]


def learning_curve_sections(found: Comparison) -> list[TextTable]:
    """One table for each curve, with a bar from chance (0.5) to 1."""
    folds = int(found.first_run.experiment["folds"])
    tables = []
    for rows in learning_curves(found):
        first = rows[0]
        means = [row.score("auc").mean for row in rows]
        cells = {
            "share": [f"{share_of(row):g}" for row in rows],
            "AUC": [f"{mean:.3f}" if mean == mean else "" for mean in means],
            "0.5 to 1": [
                "#" * round(BAR * max(0.0, 2 * mean - 1)) if mean == mean else "" for mean in means
            ],
        }
        tables.append(
            TextTable(
                f"Learning curve: {first.encoder}, {first.aggregator}, {first.loss}",
                cells,
                [
                    "share: of the patients of each training part, those of a smaller share being "
                    f"among those of a larger one; scored on the same held-out patients of {folds} "
                    "folds. A curve that still rises says that more patients would help."
                ],
            )
        )
    return tables
