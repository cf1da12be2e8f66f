"""Hooks of a run, and how events of its folds reach them."""

from collections.abc import Callable, Sequence
from pathlib import Path

from volbench.crossval.dispatch import Listener
from volbench.crossval.plan import Plan
from volbench.runs.folder import FoldResult
from volbench.training.fold_reports import EpochReport, StepReport


class Callback:
    """Hooks of a run; override those you need."""

    def on_plan(self, plan: Plan, path: Path, done: Sequence[int], asked: Sequence[int]) -> None:
        """The run is about to start; ``done`` folds are finished already."""

    def on_start(self, fold: int) -> None:
        """A fold starts or goes on."""

    def on_epoch(self, report: EpochReport) -> None:
        """An epoch ended."""

    def on_step(self, report: StepReport) -> None:
        """Steps of an epoch were done; called within epochs that take longer than a second."""

    def on_wait(self, fold: int, reason: str) -> None:
        """A fold is not trained at the moment: it is queued, elsewhere, or tried again."""

    def on_warning(self, text: str) -> None:
        """A remark for the user on this machine."""

    def on_jobs(self, jobs: int, reason: str) -> None:
        """From now on so many folds are trained at a time, more than before."""

    def on_features(self, done: int, total: int) -> None:
        """So many cases are encoded by a frozen encoder, before the folds start."""

    def on_end(self, result: FoldResult) -> None:
        """A fold ended; its files are written."""

    def on_audit(self) -> None:
        """All folds are finished; the data are audited for shortcuts, once for all their runs."""


def listener_of(callback: Callback) -> Listener:
    """Hand the events of one run's folds to its hooks."""
    on_epoch = _warning_once(callback)
    return Listener(
        on_start=lambda task: callback.on_start(task.fold),
        on_epoch=lambda task, report: on_epoch(report),
        on_end=lambda task, result: callback.on_end(result),
        on_wait=lambda task, reason: callback.on_wait(task.fold, reason),
        on_step=lambda task, report: callback.on_step(report),
    )


def _warning_once(callback: Callback) -> Callable[[EpochReport], None]:
    """Pass reports on; what a fold warns of is told once, however many folds warn of it."""
    told: set[str] = set()

    def on_epoch(report: EpochReport) -> None:
        if report.warning is not None and report.warning not in told:
            told.add(report.warning)
            callback.on_warning(report.warning)
        callback.on_epoch(report)

    return on_epoch
