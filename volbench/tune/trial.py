"""Active trial: trains inner folds one after another, scored, pruned or reported."""

import math
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study
from optuna.trial import TrialState

from volbench.crossval.environment import describe_data
from volbench.crossval.fold_task import Task
from volbench.errors import StateError, VolbenchError
from volbench.evaluation.items import gather
from volbench.evaluation.metrics import area_under_curve
from volbench.experiment.experiment import Experiment
from volbench.runs.folder import MODEL, PREDICTIONS, FoldResult, RunFolder
from volbench.runs.predictions_file import read_predictions
from volbench.training.fold_reports import EpochReport
from volbench.tune.execution import Execution
from volbench.tune.plan import Inner, TuningPlan
from volbench.tune.storage import quietly
from volbench.tune.tables import PRUNED, REASON, SCORES, SECONDS
from volbench.tune.template import TriedCandidate


class ActiveTrial:
    """One candidate on its way through the inner folds.

    Each inner fold is a fold of a run of its own, in the folder of the trial: what was finished
    before the process died is found there.

    Args:
        tuning: The whole tuning.
        inner: What its study may see.
        study: Where it is told.
        trial: What Optuna asked for.
        folder: Of the study.
        place: Which trial of its study this is, counted from 0.
        order: Inner folds in the order they are taken.

    Attributes:
        scores: AUC of each inner fold that was scored.
        pruned: Whether the pruner has ended it.
        ended: Whether it is told.
    """

    def __init__(
        self,
        tuning: TuningPlan,
        inner: Inner,
        study: Study,
        trial: optuna.Trial,
        *,
        folder: Path,
        place: int,
        order: list[int],
    ) -> None:
        self.tuning = tuning
        self.inner = inner
        self.study = study
        self.trial = trial
        self.place = place
        self.order = order
        self.candidate: TriedCandidate = tuning.candidate(trial.params)
        self.folder = RunFolder(folder / "trials" / f"{place:03d}")
        self.experiment: Experiment | None = None
        self.scores: dict[int, float] = {}
        self.pruned = False
        self.ended = False
        self.seconds = 0.0

    @property
    def id(self) -> int:
        """What the storage calls it."""
        return int(self.trial._trial_id)

    @property
    def mean(self) -> float:
        """Mean AUC of the inner folds so far."""
        return fmean(self.scores.values()) if self.scores else math.nan

    def open(self, environment: Mapping[str, Any]) -> None:
        """Build the candidate's experiment on the inner folds, and its folder.

        Raises:
            VolbenchError: the values that were drawn do not make an experiment.
        """
        split = self.inner.split
        outer = self.tuning.experiment(self.candidate)
        experiment = replace(outer, split_digest=split.digest, folds=len(split.folds))
        data = describe_data(self.tuning.plan.prepared)
        try:
            self.folder.open(experiment, split, data, environment)
        except StateError:  # of a study whose storage was deleted
            shutil.rmtree(self.folder.path)
            self.folder.open(experiment, split, data, environment)
        self.experiment = experiment

    def next_task(self, execution: Execution) -> Task | None:
        """The next inner fold to train; None once the trial is told.

        Folds that an earlier attempt finished are scored from their files.
        """
        while not self.pruned:
            left = [fold for fold in self.order if fold not in self.scores]
            if not left:
                break
            result = self.folder.fold(left[0]).result()
            if result is None or result.status != "finished":
                return self._task(left[0], execution)
            if not self._score(result):
                return None
        self._tell()
        return None

    def on_epoch(self, task: Task, report: EpochReport) -> bool:
        """Pass an epoch on to the median pruner; whether the training goes on."""
        if self.tuning.settings.pruner != "median" or report.auc is None:
            return True
        step = self.order.index(task.fold) * report.epochs + report.epoch
        with quietly(), suppress(UpdateFinishedTrialError):  # another process has taken it over
            self.trial.report(report.auc, step=step)
            self.pruned = bool(self.trial.should_prune())
        return not self.pruned

    def on_result(self, result: FoldResult | None) -> None:
        """Take what an inner fold gave; None where the pruner ended its training."""
        if result is None:
            self._tell()
        elif result.status == "failed":
            self.fail(f"inner fold {result.fold}: {result.error}")
        elif self._score(result):
            # Nothing of a trial is used again but what it predicted.
            (self.folder.fold(result.fold).path / MODEL).unlink(missing_ok=True)

    def fail(self, reason: str) -> None:
        """Keep the trial with the reason why it has no score."""
        self.trial.set_user_attr(REASON, reason)
        self._finish(state=TrialState.FAIL)

    def _task(self, fold: int, execution: Execution) -> Task:
        assert self.experiment is not None
        prepared, part = self.tuning.plan.prepared, self.inner.part(fold, self.experiment)
        return execution.task(self.experiment, prepared.folder, self.folder.path, fold, part)

    def _score(self, result: FoldResult) -> bool:
        """Score a finished inner fold and ask the pruner; whether the trial goes on."""
        place = self.folder.fold(result.fold)
        try:
            place.verify(result, only=PREDICTIONS)
            auc = inner_auc(place.path / PREDICTIONS)
        except VolbenchError as error:
            self.fail(str(error))
            return False
        self.seconds += result.seconds or 0.0
        if not math.isfinite(auc):
            self.fail(f"inner fold {result.fold}: its AUC is undefined, a class is missing in it")
            return False
        self.scores[result.fold] = auc
        if self.tuning.settings.pruner == "wilcoxon":
            with quietly():
                self.trial.report(auc, step=result.fold)
                self.pruned = len(self.scores) < len(self.order) and bool(self.trial.should_prune())
        return True

    def _tell(self) -> None:
        if self.pruned and self.tuning.settings.pruner == "median":
            # What it reported are AUCs after an epoch, of which the last one stands for its value.
            self.trial.set_user_attr(PRUNED, True)
            self._finish(state=TrialState.PRUNED)
            return
        if self.pruned:
            self.trial.set_user_attr(PRUNED, True)
        # A trial that the Wilcoxon pruner ended returns its mean so far and is told as complete:
        # what it reported are the values of single folds, in a random order, and Optuna takes the
        # last reported one for the value of a trial that raised TrialPruned.
        # https://optuna.readthedocs.io/en/stable/reference/generated/optuna.pruners.WilcoxonPruner.html
        self._finish(values=self.mean)

    def _finish(self, *, values: float | None = None, state: TrialState | None = None) -> None:
        scores = {str(fold): auc for fold, auc in sorted(self.scores.items())}
        with suppress(UpdateFinishedTrialError):  # another process has taken it over
            self.trial.set_user_attr(SECONDS, round(self.seconds, 3))
            self.trial.set_user_attr(SCORES, scores)
            self.study.tell(self.trial, values, state=state, skip_if_finished=True)
        self.ended = True


def inner_auc(path: Path) -> float:
    """AUC of a fold, from its predictions."""
    items = gather(*read_predictions(path.read_text(encoding="utf-8")))
    return area_under_curve(items.labels, items.probabilities)
