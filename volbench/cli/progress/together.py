"""Progress of experiments whose folds are trained together: one bar, a line for each fold."""

import math
from collections.abc import Sequence
from pathlib import Path

from volbench.cli.progress.closing import Closing
from volbench.cli.progress.trainings import TrainingsLine, fold_label
from volbench.crossval.plan import Plan
from volbench.crossval.run_cross_validation import Callback
from volbench.runs.folder import FoldResult, RunFolder
from volbench.training.fold_reports import EpochReport, StepReport


class TogetherProgress(Closing):
    """Bar over the folds of all experiments.

    Args:
        total: Folds of all experiments.
        done: Those that were finished before.
    """

    def __init__(self, *, total: int, done: int) -> None:
        self.warned: set[str] = set()
        self.line = TrainingsLine("folds", "folds", before=self._running)
        self.line.open(total, done)

    def close(self) -> None:
        """Remove the bar."""
        self.line.close()

    def warn(self, text: str) -> None:
        """Print a warning, once however many experiments have it."""
        if text not in self.warned:
            self.warned.add(text)
            self.line.say(f"warning: {text}")

    def of(self, label: str) -> Callback:
        """The hooks of one experiment."""
        return _Experiment(self, label)

    def _running(self) -> Sequence[str]:
        return (f"{len(self.line.rows)} running",)


class _Experiment(Callback):
    def __init__(self, board: TogetherProgress, label: str) -> None:
        self.board = board
        self.line = board.line
        self.label = label

    def on_plan(self, plan: Plan, path: Path, done: Sequence[int], asked: Sequence[int]) -> None:
        """Nothing: the suite has counted its folds."""

    def on_start(self, fold: int) -> None:
        """Add the bar of a fold."""
        self.line.begin(*self._fold(fold))

    def on_epoch(self, report: EpochReport) -> None:
        """Advance the bar of a fold."""
        self.line.epoch(*self._fold(report.fold), report)

    def on_step(self, report: StepReport) -> None:
        """Advance the bar of a fold within an epoch."""
        self.line.step(*self._fold(report.fold), report)

    def on_wait(self, fold: int, reason: str) -> None:
        """Print why a fold does not run."""
        key, name = self._fold(fold)
        self.line.drop(key)
        if reason:
            self.line.say(f"{name}  waits: {reason}")

    def on_warning(self, text: str) -> None:
        """Print a warning."""
        self.board.warn(text)

    def on_end(self, result: FoldResult) -> None:
        """Print the result of a fold."""
        key, name = self._fold(result.fold)
        self.line.end(key)
        self.line.all.done += 1
        if result.status == "failed":
            how = f"failed: {result.error}"
        else:
            auc = math.nan if result.auc is None else result.auc
            how = f"AUC {auc:.3f}  {result.seconds or 0:.0f} s"
        self.line.say(f"{name}  {how}  ({self.line.state})")

    def _fold(self, fold: int) -> tuple[tuple[str, int], str]:
        return (self.label, fold), f"{self.label}  {fold_label(fold)}"


def finished_folds(path: Path, only: Sequence[int] = ()) -> list[int]:
    """Numbers of the folds that are finished in a run's folder; of some folds only, if named."""
    folder = RunFolder(path)
    if not (path / "experiment.json").is_file():
        return []
    done = [fold for fold, result in folder.results().items() if result.status == "finished"]
    return [fold for fold in done if not only or fold in only]
