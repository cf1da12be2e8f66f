"""Published results: reference tables, shown beside ours and never mixed with them."""

import csv
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib import resources
from typing import Any, ClassVar

import pandas as pd

from volbench._utils.text import printable
from volbench.leaderboard.render.terminal import Cells
from volbench.runs.load import LoadedRun


@dataclass(frozen=True)
class TextTable:
    """A table to be drawn below ours; without cells it is a title and notes only.

    Names that others chose may hold anything: control characters become escapes here, whatever the
    table is drawn as.
    """

    title: str
    cells: Cells
    notes: Sequence[str]

    def __post_init__(self) -> None:
        shown = partial(printable, keep="\n")
        cells = {shown(name): list(map(shown, texts)) for name, texts in self.cells.items()}
        object.__setattr__(self, "title", shown(self.title))
        object.__setattr__(self, "cells", cells)
        object.__setattr__(self, "notes", tuple(map(shown, self.notes)))


class Reference(ABC):
    """Published rows by name; other data, other protocol.

    Attributes:
        name: As in ``--reference``, and of its CSV file.
        note: Where the rows are from.
        ddof: Of their standard deviations; None where they have none.
    """

    name: ClassVar[str]
    note: ClassVar[str]
    ddof: ClassVar[int | None]

    def __init__(self) -> None:
        path = resources.files("volbench.leaderboard.published.tables") / f"{self.name}.csv"
        with path.open(encoding="utf-8") as stream:
            self.rows: tuple[dict[str, str], ...] = tuple(csv.DictReader(stream))

    @abstractmethod
    def sections(self, runs: Sequence[LoadedRun]) -> list[TextTable]:
        """The tables to show below those of comparable runs; none where nothing corresponds."""

    @abstractmethod
    def document(self, runs: Sequence[LoadedRun]) -> dict[str, Any]:
        """The same as plain JSON values."""

    @abstractmethod
    def reported(self, runs: Sequence[LoadedRun]) -> list[dict[str, object]]:
        """The published rows that belong to the runs, under a leaderboard's column names."""

    def joined(self, frame: pd.DataFrame, runs: Sequence[LoadedRun], *, ddof: int) -> pd.DataFrame:
        """Append the published rows to a leaderboard; a column ``source`` tells them apart."""
        ours = frame.assign(source="ours", ddof=ddof)
        theirs = pd.DataFrame(self.reported(runs)).assign(source="reported", ddof=self.ddof)
        both = [ours, theirs] if len(theirs) else [ours]
        joined = pd.concat([part.astype(object) for part in both], ignore_index=True)
        return joined[["source", *(name for name in joined if name != "source")]]
