"""Outcome of a tuning: winner of each outer fold, inner and outer AUC, tuning.json."""

import math
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from volbench._utils.atomic_io import json_text
from volbench.experiment.experiment import SCHEMA
from volbench.runs.folder import PREDICTIONS, RunFolder
from volbench.spec import show_value
from volbench.tune.plan import TuningPlan
from volbench.tune.search import Search
from volbench.tune.template import TriedCandidate
from volbench.tune.trial import inner_auc

TUNING = "tuning.json"


@dataclass(frozen=True)
class FoldWinner:
    """The candidate that an outer fold is scored with.

    Attributes:
        fold: The outer fold.
        trial: Its place in the search.
        candidate: As text.
        values: Of what was searched for, as text.
        inner_auc: Mean over the inner folds, which chose it: too good by the choosing.
    """

    fold: int
    trial: int
    candidate: TriedCandidate
    values: Mapping[str, str]
    inner_auc: float

    @classmethod
    def of(cls, search: Search, fold: int) -> "FoldWinner | None":
        """The winner of a study, for one outer fold; None if all its trials failed."""
        best = search.winner()
        if best is None:
            return None
        values = search.tuning.values(best.params)
        return cls(
            fold=fold,
            trial=search.trials.index(best),
            candidate=search.tuning.candidate(best.params),
            values={name: show_value(value) for name, value in values.items()},
            inner_auc=float(best.value),
        )


@dataclass(frozen=True)
class TuningOutcome:
    """A tuning as it stands.

    Attributes:
        path: The run folder.
        flat: Whether the winner was selected on all cases, those of the outer folds among them.
        winners: By outer fold, those that are known.
        outer_auc: By outer fold, those that are finished.
        errors: By outer fold, why it failed.
        folds: How many outer folds there are.
        stopped: Whether it was asked to stop before everything was done.
    """

    path: Path
    flat: bool
    winners: Mapping[int, FoldWinner]
    outer_auc: Mapping[int, float]
    errors: Mapping[int, str]
    folds: int
    stopped: bool = False

    @property
    def inner_mean(self) -> float:
        """Mean of the winners' inner AUC over the finished outer folds."""
        done = [self.winners[fold].inner_auc for fold in self.outer_auc if fold in self.winners]
        return fmean(done) if done else math.nan

    @property
    def outer_mean(self) -> float:
        """Mean AUC over the finished outer folds."""
        return fmean(self.outer_auc.values()) if self.outer_auc else math.nan

    @property
    def optimism(self) -> float:
        """Inner minus outer: by how much the choosing flatters."""
        return self.inner_mean - self.outer_mean

    @property
    def best(self) -> FoldWinner | None:
        """The winner with the best inner AUC; the first of equals."""
        ordered = sorted(self.winners.values(), key=lambda each: (-each.inner_auc, each.fold))
        return ordered[0] if ordered else None


def find_outcome(
    tuning: TuningPlan, folder: RunFolder, searches: list[Search], *, stopped: bool
) -> TuningOutcome:
    """Read from storage and files how far a tuning is."""
    winners, aucs, errors = {}, {}, {}
    for fold in tuning.plan.split.folds:
        search = searches[0] if tuning.settings.flat else searches[list(tuning.inner).index(fold)]
        winner = FoldWinner.of(search, fold) if search.is_over else None
        if winner is not None:
            winners[fold] = winner
        result = folder.fold(fold).result()
        if result is not None and result.status == "finished":
            aucs[fold] = inner_auc(folder.fold(fold).path / PREDICTIONS)
        elif result is not None:
            errors[fold] = result.error or ""
    folds = len(tuning.plan.split.folds)
    return TuningOutcome(
        folder.path, tuning.settings.flat, winners, aucs, errors, folds, stopped=stopped
    )


def write_outcome(outcome: TuningOutcome, tuning: TuningPlan) -> None:
    """Write tuning.json, which says beside the folds how their candidates were chosen."""
    rows = [
        {
            "fold": fold,
            "trial": winner.trial,
            "values": dict(winner.values),
            **asdict(winner.candidate),
            "inner_auc": winner.inner_auc,
            "outer_auc": _number(outcome.outer_auc.get(fold)),
            "optimism": _number(winner.inner_auc - outcome.outer_auc.get(fold, math.nan)),
        }
        for fold, winner in sorted(outcome.winners.items())
    ]
    best = outcome.best
    content = json_text(
        {
            "schema": SCHEMA,
            "mode": "flat" if outcome.flat else "nested",
            "selected_on_these_data": outcome.flat,
            "complete": len(outcome.outer_auc) == outcome.folds,
            "inner_auc": _number(outcome.inner_mean),
            "outer_auc": _number(outcome.outer_mean),
            "optimism": _number(outcome.optimism),
            "folds": rows,
            "best": None
            if best is None
            else {"fold": best.fold, "line": run_line(best.candidate, tuning)},
        }
    )
    RunFolder(outcome.path).add(TUNING, content)


def read_outcome(path: Path) -> Mapping[str, Any] | None:
    """What tuning.json says; None where a run was not tuned.

    Raises:
        StateError: it is damaged.
    """
    return RunFolder(path).values(TUNING)


def run_line(candidate: TriedCandidate, tuning: TuningPlan) -> str:
    """A candidate as the command that runs it, on the same data and folds."""
    experiment = tuning.plan.experiment
    words = ["volbench", "run", "--encoder", candidate.encoder]
    words += [] if candidate.aggregator is None else ["--agg", candidate.aggregator]
    words += ["--loss", candidate.loss, "--data", tuning.data]
    words += ["--level", "slice"] if experiment.level == "slice" else []
    words += [] if tuning.recipe == "standard" else ["--recipe", tuning.recipe]
    for override in candidate.overrides:
        words += ["--set", override]
    words += ["--folds", tuning.folds] if tuning.folds != "10" else []
    words += ["--seed", str(experiment.seed)] if experiment.seed else []
    return shlex.join(words)


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value
