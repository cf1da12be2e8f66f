"""Runs drawn at random, and their numbers computed from the files alone, without volbench."""

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, roc_auc_score

from tests.report.made_runs import write_run
from volbench.experiment.recipe import load_recipe

RECIPE = load_recipe("standard").model_dump(mode="json")


@dataclass(frozen=True)
class DrawnRun:
    """One candidate: how good it is, and which folds it has."""

    skill: float
    done: int
    failed: tuple[int, ...]


@dataclass(frozen=True)
class DrawnRuns:
    """A table of runs on the same cases and folds."""

    classes: int
    folds: int
    per_fold: int
    runs: tuple[DrawnRun, ...]

    def write(self, folder: Path) -> "list[RunFiles]":
        """Write them; returns what their files say."""
        names = tuple(f"grade{number}" for number in range(self.classes))
        for number, run in enumerate(self.runs):
            write_run(
                folder,
                f"run{number}",
                classes=names,
                cases=self.classes * self.folds * self.per_fold,
                folds=self.folds,
                skill=run.skill,
                done=run.done,
                failed=run.failed,
                encoder=f"r2d(width={number + 2})",
                recipe=RECIPE,
            )
        return [RunFiles(folder / f"run{number}") for number in range(len(self.runs))]


@st.composite
def drawn_runs(draw, *, most_runs=4):
    """Few cases, several candidates, two to five classes, folds that are missing or failed."""
    folds = draw(st.integers(2, 4))
    runs = []
    for _ in range(draw(st.integers(1, most_runs))):
        done = draw(st.one_of(st.just(folds), st.integers(0, folds)))
        failed = draw(st.one_of(st.just(()), st.just((0,)))) if done else ()
        runs.append(DrawnRun(draw(st.sampled_from([0.0, 0.5, 1.5, 4.0])), done, failed))
    return DrawnRuns(draw(st.integers(2, 5)), folds, draw(st.integers(1, 3)), tuple(runs))


class RunFiles:
    """The numbers of one run, from its CSV files."""

    def __init__(self, path: Path) -> None:
        self.path, self.encoder = path, f"r2d(width={int(path.name[3:]) + 2})"
        self.split = read(path / "splits.csv")
        self.folds = len({row["fold"] for row in self.split})
        self.rows = {
            int(file.parent.name): read(file)
            for file in sorted(path.glob("folds/*/predictions.csv"))
        }
        self.classes = sorted({row["label"] for row in self.split})
        self.failed = len([*path.glob("folds/*/failed.json")])

    @property
    def complete(self) -> bool:
        return len(self.rows) == self.folds

    @property
    def all_rows(self) -> list[dict[str, str]]:
        return [row for rows in self.rows.values() for row in rows]

    @property
    def counts(self) -> Counter:
        return Counter(row["label"] for row in self.split)

    def labels(self, rows) -> np.ndarray:
        return np.array([self.classes.index(row["label"]) for row in rows])

    def probabilities(self, rows) -> np.ndarray:
        return np.array([[float(row[f"prob_{name}"]) for name in self.classes] for row in rows])

    def decisions(self, rows) -> np.ndarray:
        found = self.probabilities(rows)
        return (found[:, 1] >= 0.5).astype(int) if len(self.classes) == 2 else found.argmax(axis=1)

    def areas(self) -> list[float]:
        """AUC of each finished fold; of several classes the mean of one against the rest."""
        return [
            self._area(self.labels(rows), self.probabilities(rows)) for rows in self.rows.values()
        ]

    def _area(self, labels, found) -> float:
        if len(self.classes) == 2:
            return float(roc_auc_score(labels, found[:, 1]))
        each = [roc_auc_score(labels == of, found[:, of]) for of in range(len(self.classes))]
        return float(np.mean(each))

    def accuracies(self) -> list[float]:
        return [
            float(accuracy_score(self.labels(rows), self.decisions(rows)))
            for rows in self.rows.values()
        ]

    def confusion(self) -> np.ndarray:
        rows = self.all_rows
        every = range(len(self.classes))
        return confusion_matrix(self.labels(rows), self.decisions(rows), labels=every)

    def wrong(self) -> dict[str, float]:
        """Cases decided wrongly, with the probability of their true class."""
        rows = self.all_rows
        labels, found, decided = self.labels(rows), self.probabilities(rows), self.decisions(rows)
        return {
            row["case"]: float(found[place, labels[place]])
            for place, row in enumerate(rows)
            if decided[place] != labels[place]
        }

    def truth(self) -> dict[str, float]:
        """Probability of the true class, by case."""
        rows = self.all_rows
        labels, found = self.labels(rows), self.probabilities(rows)
        return {row["case"]: float(found[n, labels[n]]) for n, row in enumerate(rows)}


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def spread(values) -> float:
    """Standard deviation over folds, ddof 1."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
