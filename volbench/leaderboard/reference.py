"""Published results, shown beside ours and never mixed with them: other data, other protocol."""

import csv
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from volbench.errors import UsageError

NOTES = {
    "medmnist3d": "Reported, not measured here: Yang et al. 2023 (medmnist.com), official split, "
    "28 x 28 x 28, their training; accuracy at threshold 0.5.",
}


@dataclass(frozen=True)
class Reference:
    """Published rows; each belongs to a data set."""

    name: str
    rows: tuple[dict[str, str], ...]

    @property
    def title(self) -> str:
        """Heading of its table."""
        return f"Reported elsewhere ({self.name})"

    @property
    def note(self) -> str:
        """Where the rows are from."""
        return NOTES[self.name]

    def rows_for(self, data: str) -> dict[str, list[str]]:
        """The rows of one data set as columns of text; empty if there are none."""
        rows = [row for row in self.rows if row["dataset"] in data]
        if not rows:
            return {}
        return {
            "method": [row["method"] for row in rows],
            "auc": [row["auc"] for row in rows],
            "accuracy %": [f"{100 * float(row['accuracy']):.1f}" for row in rows],
        }


def reference_names() -> list[str]:
    """Names of the references that come with volbench."""
    return sorted(NOTES)


def load_reference(name: str) -> Reference:
    """Load published results by name.

    Raises:
        UsageError: there are none of this name.
    """
    if name not in NOTES:
        raise UsageError(f"unknown --reference {name!r}; there is {', '.join(reference_names())}")
    path = resources.files("volbench.references") / f"{Path(name).name}.csv"
    with path.open(encoding="utf-8") as stream:
        return Reference(name, tuple(csv.DictReader(stream)))
