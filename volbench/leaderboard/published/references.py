"""The references that come with volbench, by name."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from volbench.errors import UsageError
from volbench.leaderboard.published.lee2022 import Rectal2022
from volbench.leaderboard.published.reference import Reference, Section
from volbench.runs.load import LoadedRun


class MedMNIST3D(Reference):
    """Yang et al. 2023: six data sets, two networks with three kinds of convolution."""

    name = "medmnist3d"
    note = (
        "Reported, not measured here: Yang et al. 2023 (medmnist.com), official split, "
        "28 x 28 x 28, their training; accuracy at threshold 0.5."
    )
    ddof = None

    def rows_for(self, data: str) -> dict[str, list[str]]:
        """The rows of one data set as columns of text; empty if there are none."""
        rows = self._rows(data)
        if not rows:
            return {}
        return {
            "method": [row["method"] for row in rows],
            "auc": [row["auc"] for row in rows],
            "accuracy %": [f"{100 * float(row['accuracy']):.1f}" for row in rows],
        }

    def sections(self, runs: Sequence[LoadedRun]) -> list[Section]:
        """One table for the runs' own data set."""
        cells = self.rows_for(runs[0].data)
        return [Section(f"Reported elsewhere ({self.name})", cells, [self.note])] if cells else []

    def document(self, runs: Sequence[LoadedRun]) -> dict[str, Any]:
        """The rows of the runs' own data set."""
        return {"name": self.name, "note": self.note, "rows": self.reported(runs)}

    def reported(self, runs: Sequence[LoadedRun]) -> list[dict[str, object]]:
        """The rows of the runs' own data set; they have no standard deviations."""
        return [
            {
                "run": row["method"],
                "auc_mean": float(row["auc"]),
                "accuracy_mean": float(row["accuracy"]),
            }
            for row in self._rows(runs[0].data)
        ]

    def _rows(self, data: str) -> list[dict[str, str]]:
        return [row for row in self.rows if row["dataset"] in data]


REFERENCES: dict[str, type[Reference]] = {kind.name: kind for kind in (MedMNIST3D, Rectal2022)}


def reference_names() -> list[str]:
    """Names of the references that come with volbench."""
    return sorted(REFERENCES)


def load_reference(name: str) -> Reference:
    """Load published results by name.

    Raises:
        UsageError: there are none of this name.
    """
    if name not in REFERENCES:
        near = get_close_matches(name, REFERENCES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(reference_names())}"
        raise UsageError(f"unknown --reference {name!r}; {hint}")
    return REFERENCES[name]()
