"""Tables of AUC by site, scanner or slice thickness, with the groups as columns."""

from collections.abc import Sequence

import pandas as pd

from volbench.leaderboard.identity import identities
from volbench.leaderboard.published.base import TextTable
from volbench.leaderboard.statistics.comparison import Comparison
from volbench.leaderboard.statistics.strata import ByStratum

PER_TABLE = 5
"""Groups side by side; further ones stand in a table beneath."""


def stratum_sections(
    found: Comparison, tables: Sequence[ByStratum], *, metric: str = "auc"
) -> list[TextTable]:
    """Lay out the groups as columns, with how many items of each class they have."""
    sections = []
    for table in tables:
        complete = [row for row in found.rows if row.status == "complete"]
        groups = list(dict.fromkeys(table.frame["group"]))
        for start in range(0, len(groups), PER_TABLE):
            cells, _ = identities(complete)
            cells = cells or {"encoder": [row.encoder for row in complete]}
            for group in groups[start : start + PER_TABLE]:
                mine = table.frame[table.frame["group"] == group].set_index("run")
                first = mine.iloc[0]
                sizes = "\n".join(f"{first[f'n_{name}']:.0f} {name}" for name in found.classes)
                value = mine[metric].reindex([row.name for row in complete])
                cells[f"{group}\n{sizes}"] = [
                    "few" if pd.isna(number) else f"{number:.3f}" for number in value
                ]
            more = " (continued)" if start else ""
            sections.append(TextTable(f"AUC by {table.column}{more}", cells, _notes(found)))
    return sections


def _notes(found: Comparison) -> list[str]:
    return [
        f"Pooled over folds, one score per {found.unit}: a fold holds too few of a group. few: "
        "fewer than five of a class. No difference between groups is tested."
    ]
