"""Tables and JSON values of each class of each row."""

from typing import Any

from volbench.leaderboard.identity import row_labels
from volbench.leaderboard.published.base import TextTable
from volbench.leaderboard.render.terminal import mean_std
from volbench.leaderboard.statistics.comparison import Candidate, Comparison
from volbench.leaderboard.statistics.per_class import (
    DEFINITION,
    ClassScore,
    class_scores,
    recall_of,
)


def class_sections(found: Comparison) -> list[TextTable]:
    """One table per row: true classes beneath one another, decisions side by side."""
    sections = []
    for row, label in zip(found.rows, row_labels(found.rows), strict=True):
        scores = _scores(row)
        if not scores:
            continue
        cells = {
            "true": [score.name for score in scores],
            "n": [str(score.n) for score in scores],
            **{
                f"called\n{name}": [str(score.counts[place]) for score in scores]
                for place, name in enumerate(found.classes)
            },
            "recall %": [
                mean_std(recall_of(score, place), float("nan"), percent=True)
                for place, score in enumerate(scores)
            ],
            "AUC": [mean_std(score.auc, score.auc_std, percent=False) for score in scores],
        }
        sections.append(TextTable(f"Each class: {label}", cells, []))
    if sections:
        notes = [
            f"Decisions of all folds together, one per {found.unit}; recall of the class over "
            "them. AUC: of the class against the rest, mean ± standard deviation over folds. "
            f"{DEFINITION}."
        ]
        last = sections.pop()
        sections.append(TextTable(last.title, last.cells, notes))
    return sections


def class_values(row: Candidate) -> list[dict[str, Any]]:
    """The classes of a row as JSON values."""
    return [
        {
            "class": score.name,
            "n": score.n,
            "called": list(score.counts),
            "recall": recall_of(score, place),
            "auc_mean": score.auc,
            "auc_std": score.auc_std,
        }
        for place, score in enumerate(_scores(row))
    ]


def _scores(row: Candidate) -> list[ClassScore]:
    return class_scores([each.items for each in row.scored if each.items is not None])
