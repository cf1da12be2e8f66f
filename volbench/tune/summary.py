"""Summary of a tuned run as plain data: trials, best values, importances."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from volbench.errors import SpecError, StateError
from volbench.runs.folder import read_json
from volbench.spec import parse_value
from volbench.tune.outcome import TUNING, read_outcome
from volbench.tune.tables import BEST, TRIALS, TrialRow, read_trials


@dataclass(frozen=True)
class StudySummary:
    """One study.

    Attributes:
        title: Which one.
        trials: In the order they were tried.
        best: Place of the winner; None while there is none.
        importances: Share of each option in the variance of the score; empty if it is not known.
    """

    title: str
    trials: Sequence[TrialRow]
    best: int | None
    importances: Mapping[str, float]

    @property
    def options(self) -> list[str]:
        """What was searched for."""
        return list(dict.fromkeys(name for row in self.trials for name in row.values))

    def history(self) -> list[tuple[int, float, float]]:
        """Trial, its mean inner AUC, and the best of the whole trials so far."""
        found, best = [], float("-inf")
        for row in self.trials:
            if row.auc is None:
                continue
            best = max(best, row.auc) if row.state == "complete" else best
            found.append((row.trial, row.auc, best))
        return found

    def slice(self, option: str) -> list[tuple[float | str, float]]:
        """Value of one option and score of each trial that has a score."""
        return [
            (number_or_text(row.values[option]), row.auc)
            for row in self.trials
            if row.auc is not None and option in row.values
        ]

    def coordinates(self) -> list[tuple[Mapping[str, float | str], float]]:
        """Values of all options and score of each trial that has a score."""
        return [
            ({name: number_or_text(value) for name, value in row.values.items()}, row.auc)
            for row in self.trials
            if row.auc is not None
        ]


@dataclass(frozen=True)
class TuningSummary:
    """A tuned run: what tuning.json says, the search space and every study."""

    found: Mapping[str, Any]
    space: Mapping[str, str]
    settings: Mapping[str, Any]
    studies: Sequence[StudySummary]


def load_summary(run: Path) -> TuningSummary:
    """Read what a tuned run found, from its files alone.

    Raises:
        StateError: it is no tuned run, or a file is damaged.
    """
    found = read_outcome(run)
    experiment = read_json(run / "experiment.json")
    if found is None or experiment is None or not experiment.get("tuning"):
        raise StateError(f"{run} is no tuned run: it has no {TUNING}; start one with volbench tune")
    # Version 0.1 kept the studies in the folders of the folds.
    places = sorted([*run.glob("tuning/[0-9]*"), *run.glob("folds/*/tuning")])
    if (run / "tuning" / TRIALS).is_file():
        places = [run / "tuning"]
    tuning = experiment["tuning"]
    return TuningSummary(
        found, tuning["space"], tuning["settings"], [_study(run, place) for place in places]
    )


def number_or_text(text: str) -> float | str:
    """A value as a number where it is one; any other as it is written."""
    try:
        value = parse_value(text)
    except SpecError:
        return text
    return float(value) if isinstance(value, int | float) else text


def _study(run: Path, place: Path) -> StudySummary:
    best = read_json(place / BEST) or {}
    fold = place.parent if place.name == "tuning" else place
    return StudySummary(
        title="all cases" if place == run / "tuning" else f"outer fold {int(fold.name)}",
        trials=read_trials(place),
        best=best.get("trial"),
        importances=best.get("importances", {}),
    )
