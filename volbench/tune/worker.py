"""Scheduling of one tuning process: continue a trial, train a winner, start a trial, wait."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from volbench._utils.atomic_io import FolderInUseError, FolderLock
from volbench.crossval.fold_task import Task
from volbench.errors import StorageError, VolbenchError
from volbench.runs.folder import FoldResult, RunFolder
from volbench.training.fold_reports import EpochReport, StepReport
from volbench.tune.execution import Execution
from volbench.tune.outcome import FoldWinner
from volbench.tune.plan import FLAT, TuningPlan
from volbench.tune.search import Search
from volbench.tune.storage import Heartbeat
from volbench.tune.trial import ActiveTrial


class TuningCallback:
    """Callbacks of a tuning; override those of interest."""

    def on_plan(self, tuning: TuningPlan, path: Path, done: int, total: int) -> None:
        """The tuning is about to start; ``done`` of ``total`` inner trainings were there."""

    def on_trial(self, trial: ActiveTrial) -> None:
        """A trial begins in this process."""

    def on_epoch(self, task: Task, report: EpochReport, trial: ActiveTrial | None) -> None:
        """An epoch ended, of a trial or of a winner."""

    def on_step(self, task: Task, report: StepReport, trial: ActiveTrial | None) -> None:
        """Steps of an epoch were done, of a trial or of a winner."""

    def on_score(self, trial: ActiveTrial, fold: int) -> None:
        """An inner fold of a trial was scored."""

    def on_told(self, trial: ActiveTrial, best: float | None) -> None:
        """A trial ended; ``best`` is the best mean inner AUC of its study so far."""

    def on_winner(self, fold: int, winner: FoldWinner) -> None:
        """The winner of a study is about to be trained on an outer fold."""

    def on_outer(self, result: FoldResult, winner: FoldWinner | None) -> None:
        """An outer fold ended; its files are written."""

    def on_warning(self, text: str) -> None:
        """A remark for the user on this machine."""

    def on_wait(self) -> None:
        """Other processes do what is left."""

    def on_audit(self) -> None:
        """All folds are finished; the data are audited for shortcuts."""


class TuningWorker:
    """Hands out trainings and takes their results, in one process.

    Args:
        stopped: Whether to begin nothing more.
        failures: Reason of each outer fold that has no winner.
    """

    def __init__(
        self,
        tuning: TuningPlan,
        folder: RunFolder,
        searches: Sequence[Search],
        *,
        execution: Execution,
        environment: Mapping[str, Any],
        heart: Heartbeat,
        callback: TuningCallback,
        stopped: Callable[[], bool],
    ) -> None:
        self.tuning = tuning
        self.folder = folder
        self.searches = searches
        self.execution = execution
        self.environment = environment
        self.heart = heart
        self.callback = callback
        self.stopped = stopped
        self.active: list[ActiveTrial] = []
        self.busy: dict[tuple[Path, int], ActiveTrial | None] = {}
        self.locks: dict[int, ExitStack] = {}
        self.winners: dict[int, FoldWinner] = {}
        self.tried: set[int] = set()
        self.last = 0

    def next_task(self) -> Task | None:
        """The next training; None while there is none to begin."""
        if self.stopped():
            return None
        return self._next_inner() or self._next_winner() or self._begin()

    def on_result(self, task: Task, result: FoldResult | None) -> None:
        """Take a result of what was handed out."""
        trial = self.busy.pop((task.run, task.fold))
        if trial is not None:
            if not self.heart.holds(trial.id):  # another process has it, and trains it to its end
                trial.ended = True
                self._settle(trial)
                return
            trial.on_result(result)
            if task.fold in trial.scores:
                self.callback.on_score(trial, task.fold)
            self._settle(trial)
            return
        assert result is not None
        self.locks.pop(task.fold).close()
        self.callback.on_outer(result, self.winners[task.fold])

    def on_epoch(self, task: Task, report: EpochReport) -> bool:
        """Hear of an epoch; whether its training goes on."""
        trial = self.busy[(task.run, task.fold)]
        self.callback.on_epoch(task, report, trial)
        return trial is None or trial.on_epoch(task, report)

    def on_step(self, task: Task, report: StepReport) -> None:
        """Hear of steps within an epoch."""
        self.callback.on_step(task, report, self.busy[(task.run, task.fold)])

    def on_retry(self, task: Task, reason: str) -> None:
        """Hear that a training is done once more."""
        trial = self.busy[(task.run, task.fold)]
        what = f"fold {task.fold}" if trial is None else f"trial {trial.place}, fold {task.fold}"
        self.callback.on_warning(f"{what}: {reason}")

    @property
    def is_over(self) -> bool:
        """Whether every study and every outer fold has ended, in any process."""
        if not all(search.is_over for search in self.searches):
            return False
        return all(self._has_ended(fold) for fold in self.tuning.plan.split.folds)

    def release(self) -> None:
        """Hand on what this process began and will not finish."""
        for trial in self.active:
            search = next(each for each in self.searches if each.inner is trial.inner)
            if self.heart.holds(trial.id):
                search.requeue(trial.trial.number, "stopped; goes on when the tuning does")
            self.heart.remove(trial.id)
        self.active.clear()
        for lock in self.locks.values():
            lock.close()
        self.locks.clear()

    def _next_inner(self) -> Task | None:
        """Go on with a trial of which no inner fold is being trained."""
        trained = [trial for trial in self.busy.values() if trial is not None]
        for trial in [trial for trial in self.active if trial not in trained]:
            if trial.ended:
                self._settle(trial)
                continue
            if (task := trial.next_task(self.execution)) is not None:
                self.busy[(task.run, task.fold)] = trial
                return task
            self._settle(trial)
        return None

    def _next_winner(self) -> Task | None:
        """Train the winner of a study that is over."""
        for search in self.searches:
            if not search.is_over:
                continue
            outer = search.inner.outer
            folds = self.tuning.plan.split.folds if outer == FLAT else (outer,)
            for fold in folds:
                if not self._has_ended(fold) and (task := self._winner(search, fold)) is not None:
                    return task
        return None

    def _winner(self, search: Search, fold: int) -> Task | None:
        place = self.folder.fold(fold)
        winner = FoldWinner.of(search, fold)
        lock = ExitStack()
        try:
            place_of_lock = self.folder.path / "tuning" / f"{fold:02d}"
            lock.enter_context(FolderLock(place_of_lock, required=False))
        except FolderInUseError:
            return None
        if place.result() is not None and fold not in self.tried and self._has_ended(fold):
            lock.close()
            return None
        self.tried.add(fold)
        if winner is None:
            result = place.write_failure(search.why_no_winner())
            lock.close()
            self.callback.on_outer(result, None)
            return None
        self.winners[fold] = winner
        self.locks[fold] = lock
        self.busy[(self.folder.path, fold)] = None
        self.callback.on_winner(fold, winner)
        experiment = self.tuning.experiment(winner.candidate)
        plan = replace(self.tuning.plan, experiment=experiment)
        folder, part = plan.prepared.folder, plan.part(fold)
        return self.execution.task(experiment, folder, self.folder.path, fold, part)

    def _begin(self) -> Task | None:
        """Begin a trial in the study where fewest run, this process's last one first.

        So the processes spread over the outer folds as long as there are enough, and each study
        is searched in order; when few are left, they share them.
        """
        for search in self.searches:
            search.recover_stale(exclusive=False, file=False)
            search.take_over(self.heart)
        open_ = [search for search in self.searches if search.may_start]
        number = len(self.searches)
        for search in sorted(
            open_,
            key=lambda each: (each.running, (self.searches.index(each) - self.last) % number),
        ):
            if (trial := search.start()) is None:
                continue
            self.last = self.searches.index(search)
            self.heart.add(trial.id, search.lease_folder(trial.trial.number))
            self.active.append(trial)
            self.callback.on_trial(trial)
            try:
                trial.open(self.environment)
            except StorageError:
                raise
            except VolbenchError as error:
                trial.fail(str(error))
            return self.next_task()
        return None

    def _settle(self, trial: ActiveTrial) -> None:
        """Forget a trial that is told."""
        if not trial.ended:
            return
        self.heart.remove(trial.id)
        self.active.remove(trial)
        search = next(each for each in self.searches if each.inner is trial.inner)
        search.write_tables()
        best = search.winner()
        self.callback.on_told(trial, None if best is None else best.value)

    def _has_ended(self, fold: int) -> bool:
        """Whether an outer fold is finished, or failed in this very session."""
        place = self.folder.fold(fold)
        if (result := place.result()) is None:
            return False
        if result.status == "finished":
            place.verify(result)
            return True
        return fold in self.tried and fold not in self.locks
