"""Facts of a run for its model card: files, scores, partitions, subgroups."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from volbench.evaluation.items import Items
from volbench.evaluation.statistics.bootstrap import RESAMPLES
from volbench.evaluation.strata import case_groups, strata_of, stratum_scores
from volbench.leaderboard.statistics.compare import compare_runs
from volbench.leaderboard.statistics.comparison import Candidate, Comparison
from volbench.runs.folder import SPLITS, RunFolder
from volbench.runs.load import LoadedRun
from volbench.runs.predictions_file import Grades
from volbench.runs.splits_file import SplitRow, read_splits


@dataclass(frozen=True)
class Partition:
    """The cases of one finished fold: trained on, kept to pick the checkpoint with, held out."""

    fold: int
    train: tuple[SplitRow, ...]
    validation: tuple[SplitRow, ...]
    test: tuple[SplitRow, ...]


@dataclass(frozen=True, eq=False)
class RunFacts:
    """A run, read and scored.

    Attributes:
        data: Content of data.json.
        assigned: Content of splits.csv.
        comparison: The run as a table of one row.
        items: Held-out items of all finished folds; None before any is finished.
        threshold: How decisions were made, where there are two classes.
    """

    run: LoadedRun
    data: Mapping[str, Any]
    assigned: Sequence[SplitRow]
    comparison: Comparison
    items: Items | None
    threshold: str

    @property
    def row(self) -> Candidate:
        """Its scores."""
        return self.comparison.rows[0]

    @property
    def recipe(self) -> Mapping[str, Any]:
        """How it was trained."""
        recipe: Mapping[str, Any] = self.run.experiment["recipe"]
        return recipe

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their index."""
        names = tuple(map(str, self.data["classes"]))
        return Grades(names) if self.data.get("ordered") else names

    @property
    def folds(self) -> int:
        """How many folds the experiment has."""
        return int(self.run.experiment["folds"])

    @property
    def complete(self) -> bool:
        """Whether all folds are finished."""
        return self.row.status == "complete"

    @property
    def slice_level(self) -> bool:
        """Whether slices are predicted, not cases."""
        return bool(self.run.experiment["level"] == "slice")

    @property
    def unit(self) -> str:
        """What is scored, in a word."""
        return self.comparison.unit

    @cached_property
    def patients(self) -> int:
        """How many patients the data set has."""
        return len({row.patient for row in self.assigned})

    @cached_property
    def split_across_folds(self) -> list[str]:
        """Patients that stand in several folds, or parts, of splits.csv; there should be none."""
        places: dict[str, set[str]] = {}
        for row in self.assigned:
            places.setdefault(row.patient, set()).add(row.fold)
        return sorted(patient for patient, folds in places.items() if len(folds) > 1)

    @cached_property
    def partitions(self) -> tuple[Partition, ...]:
        """The parts of every finished fold, read from splits.csv and validation.csv."""
        found = []
        for fold in sorted(self.run.predictions):
            inner = {row.case for row in self.run.validation.get(fold, ())}
            test = [row for row in self.assigned if fold in row.folds]
            rest = [row for row in self.assigned if fold not in row.folds]
            found.append(
                Partition(
                    fold,
                    tuple(row for row in rest if row.case not in inner),
                    tuple(row for row in rest if row.case in inner),
                    tuple(test),
                )
            )
        return tuple(found)

    @cached_property
    def held_out(self) -> int:
        """Cases that were predicted while held out."""
        rows = chain.from_iterable(self.run.predictions.values())
        return len({row.case for row in rows})

    @cached_property
    def strata(self) -> pd.DataFrame:
        """Metrics by subgroup; empty without cases.csv, a finished fold or cases that differ."""
        if self.items is None or not self.run.case_rows:
            return pd.DataFrame(columns=["stratum", "group"])
        return stratum_scores(self.items, strata_of(self.run.case_rows))

    def members(self, stratum: str, group: str) -> Items:
        """Items of a group of :attr:`strata`."""
        assert self.items is not None
        known = strata_of(self.run.case_rows)
        groups = case_groups({case: row.get(stratum, "") for case, row in known.items()})
        inside = [groups[cases[0]] == group for cases in self.items.cases]
        return self.items.take(np.array(inside, dtype=bool))

    @cached_property
    def missing(self) -> Mapping[str, int]:
        """Cases without a value, by column of cases.csv; all columns of the data set are named."""
        rows = self.run.case_rows
        columns = dict.fromkeys(chain.from_iterable(row.strata for row in rows))
        found = {
            name: sum(not row.strata.get(name, "").strip() for row in rows) for name in columns
        }
        if any(row.roi_mm3 is not None for row in rows):
            found["region of interest"] = sum(row.roi_mm3 is None for row in rows)
        return found

    def wrong(self, most: int) -> list[tuple[str, str, str, float]]:
        """Items with a wrong decision: name, class, decision, probability of the true class.

        The least probable true class comes first.
        """
        if self.items is None:
            return []
        items, predicted = self.items, self.items.predicted
        true = items.probabilities[np.arange(len(items.labels)), items.labels]
        by_truth = np.argsort(true, kind="stable")
        places = by_truth[predicted[by_truth] != items.labels[by_truth]]
        return [
            (
                self.name_of(int(place)),
                items.classes[items.labels[place]],
                items.classes[predicted[place]],
                float(true[place]),
            )
            for place in places[:most]
        ]

    def name_of(self, place: int) -> str:
        """Name of an item: its case, and the slice where slices are scored."""
        assert self.items is not None
        first = self.items.rows[place][0]
        return first.case if first.slice is None else f"{first.case}, slice {first.slice}"

    def by_class(self, rows: Sequence[SplitRow]) -> dict[str, int]:
        """Cases of each class, in the order of the classes."""
        found = Counter(row.label for row in rows)
        return {name: found[name] for name in self.classes}


def gather_facts(
    run: LoadedRun, *, threshold: str | float = 0.5, resamples: int = RESAMPLES
) -> RunFacts:
    """Read what is not loaded yet, and score the run.

    Raises:
        StateError: a file of the run is missing or damaged.
        UsageError: the threshold cannot be set so.
    """
    data = RunFolder(run.path).data()
    comparison = compare_runs([run], threshold=threshold, resamples=resamples)
    items = comparison.rows[0].scored[0].items
    return RunFacts(run, data, read_splits(run.path / SPLITS), comparison, items, str(threshold))
