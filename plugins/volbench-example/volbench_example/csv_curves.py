"""Curves as a table of one value per row, which pandas, R and spreadsheets read as it is.

Source: Wickham, "Tidy data", 2014, doi:10.18637/jss.v059.i10.
"""

import csv
from collections.abc import Mapping
from pathlib import Path

from volbench.interfaces import TrackedRun, Tracker


class CsvCurves(Tracker):
    """Appends ``run,fold,epoch,name,value`` to a file, a row for each value.

    Args:
        file: Where to; its folder is made.
    """

    def __init__(self, *, file: str = "curves.csv") -> None:
        self.file = Path(file)
        self.run = ""

    def start(self, run: TrackedRun) -> None:
        """Begin the table, unless an earlier run has begun it."""
        self.run = run.name
        self.file.parent.mkdir(parents=True, exist_ok=True)
        if not self.file.exists():
            self._write([("run", "fold", "epoch", "name", "value")])

    def log(self, fold: int, epoch: int, values: Mapping[str, float]) -> None:
        """Append the values of an epoch."""
        self._write([(self.run, fold, epoch, name, value) for name, value in values.items()])

    def how_to_view(self) -> str:
        """The table, which is named when a run ends."""
        return str(self.file)

    def _write(self, rows: list[tuple[object, ...]]) -> None:
        with self.file.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
