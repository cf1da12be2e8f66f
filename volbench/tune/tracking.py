"""Trackers of a tuning: each trial is a run of its own, the outer folds are the tuning's run."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from volbench.crossval.fold_task import Task
from volbench.crossval.tracking import Tracking, tracked_run, tracking
from volbench.interfaces import TrackedRun
from volbench.runs.folder import FoldResult
from volbench.training.fold_reports import EpochReport
from volbench.tune.outcome import FoldWinner
from volbench.tune.plan import FLAT, TuningPlan
from volbench.tune.trial import ActiveTrial
from volbench.tune.worker import TuningCallback


class TrackedTuning(TuningCallback):
    """Passes everything on, and the trainings of this process to trackers; a context manager.

    Args:
        specs: Of the trackers.
        tuning: What is tuned.
        path: The run folder.
        callback: What it passes on to.
    """

    def __init__(
        self, specs: Sequence[str], tuning: TuningPlan, path: Path, callback: TuningCallback
    ) -> None:
        self.specs, self.tuning, self.path, self.callback = specs, tuning, path, callback
        self._open: dict[Path, tuple[Tracking, ExitStack]] = {}
        # What is not tracked goes straight on.
        for hook in ("plan", "trial", "step", "winner", "warning", "wait", "audit"):
            setattr(self, f"on_{hook}", getattr(callback, f"on_{hook}"))

    def __enter__(self) -> "TrackedTuning":
        return self

    def __exit__(self, *_: object) -> None:
        for path in list(self._open):
            self._close(path)

    def on_epoch(self, task: Task, report: EpochReport, trial: ActiveTrial | None) -> None:
        """Log an epoch, of a trial or of a winner."""
        self.callback.on_epoch(task, report, trial)
        self._tracking(task.run, trial).epoch(report)

    def on_score(self, trial: ActiveTrial, fold: int) -> None:
        """Log the AUC of an inner fold; one that was finished before had its trackers then."""
        self.callback.on_score(trial, fold)
        if trial.folder.path in self._open:
            self._tracking(trial.folder.path, trial).score(fold, trial.scores[fold])

    def on_told(self, trial: ActiveTrial, best: float | None) -> None:
        """Close the trackers of a trial."""
        self.callback.on_told(trial, best)
        self._close(trial.folder.path)

    def on_outer(self, result: FoldResult, winner: FoldWinner | None) -> None:
        """Log the result of an outer fold."""
        self.callback.on_outer(result, winner)
        if self.path in self._open:
            self._tracking(self.path, None).end(result)

    def _tracking(self, path: Path, trial: ActiveTrial | None) -> Tracking:
        if path not in self._open:
            stack = ExitStack()
            run = self._outer() if trial is None else _run(trial, self.path.name)
            told = stack.enter_context(tracking(self.specs, run, self.callback.on_warning))
            self._open[path] = told, stack
        return self._open[path][0]

    def _outer(self) -> TrackedRun:
        shown = self.tuning.template.shown()  # with a question mark for what was searched for
        return tracked_run(self.tuning.plan.experiment, self.path, chosen=shown)

    def _close(self, path: Path) -> None:
        if path in self._open:
            self._open.pop(path)[1].close()


def _run(trial: ActiveTrial, tuned: str) -> TrackedRun:
    """A trial as a run, with the hyperparameters that it tries; named after the tuning's."""
    assert trial.experiment is not None
    outer = "" if trial.inner.outer == FLAT else f"-fold-{trial.inner.outer:02d}"
    return tracked_run(
        trial.experiment,
        trial.folder.path,
        name=f"{tuned}{outer}-trial-{trial.place:03d}",
        chosen=trial.tuning.values(trial.trial.params),
    )
