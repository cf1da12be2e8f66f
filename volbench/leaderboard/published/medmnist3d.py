"""Results on MedMNIST3D (Yang et al., 2023, doi:10.1038/s41597-022-01721-8) beside ours."""

from collections.abc import Sequence
from typing import Any

from volbench.leaderboard.published.base import Reference, TextTable
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

    def sections(self, runs: Sequence[LoadedRun]) -> list[TextTable]:
        """One table for the runs' own data set."""
        cells = self.rows_for(runs[0].data)
        return [TextTable(f"Reported elsewhere ({self.name})", cells, [self.note])] if cells else []

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
