"""Progress of experiments whose folds are trained together: one bar, a line for each fold."""

import math
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from volbench.cli.progress.closing import Closing
from volbench.cli.progress.time_left import TimeLeft
from volbench.crossval import Plan
from volbench.crossval.run import Callback
from volbench.runs.folder import FoldResult, RunFolder
from volbench.training.fold import EpochReport


class TogetherProgress(Closing):
    """Bar over the folds of all experiments.

    Args:
        total: Folds of all experiments.
        done: Those that were finished before.
    """

    def __init__(self, console: Console, *, total: int, done: int) -> None:
        self.console = console
        self.left = TimeLeft(total - done)
        self.running: set[tuple[str, int]] = set()
        self.warned: set[str] = set()
        self.numbers: dict[tuple[str, int], int] = {}
        columns = (BarColumn(bar_width=30), MofNCompleteColumn(), TextColumn("{task.description}"))
        self.bar = Progress(TextColumn("[bold]folds[/]"), *columns, console=console, transient=True)
        self.overall = self.bar.add_task("", total=total, completed=done)
        if console.is_terminal:
            self.bar.start()

    def close(self) -> None:
        """Remove the bar."""
        self.bar.stop()

    def number(self, key: tuple[str, int]) -> int:
        """Number of a fold among those of all experiments."""
        return self.numbers.setdefault(key, len(self.numbers))

    def advance(self) -> None:
        """Count an ended fold."""
        self.bar.update(self.overall, advance=1)

    def refresh(self) -> None:
        """Show how many folds run, and the time left."""
        self.bar.update(self.overall, description=self.state)

    @property
    def state(self) -> str:
        """How many folds run, and the time left."""
        return ", ".join(part for part in (f"{len(self.running)} running", str(self.left)) if part)

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self.console.print(text, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Print a warning, once however many experiments have it."""
        if text not in self.warned:
            self.warned.add(text)
            self.say(f"warning: {text}")

    def of(self, label: str) -> Callback:
        """The hooks of one experiment."""
        return _Experiment(self, label)


class _Experiment(Callback):
    def __init__(self, board: TogetherProgress, label: str) -> None:
        self.board = board
        self.label = label

    def on_plan(self, plan: Plan, path: Path, done: Sequence[int], asked: Sequence[int]) -> None:
        """Nothing: the suite has counted its folds."""

    def on_start(self, fold: int) -> None:
        """Count a running fold."""
        self.board.running.add((self.label, fold))
        self.board.refresh()

    def on_epoch(self, report: EpochReport) -> None:
        """Take the epoch into the time left."""
        key = (self.label, report.fold)
        self.board.running.add(key)
        self.board.left.epoch(self.board.number(key), report.epoch, report.epochs)
        self.board.refresh()

    def on_wait(self, fold: int, reason: str) -> None:
        """Print why a fold does not run."""
        self.board.running.discard((self.label, fold))
        if reason:
            self.board.say(f"{self.label}  fold {fold:>2}  waits: {reason}")

    def on_warning(self, text: str) -> None:
        """Print a warning."""
        self.board.warn(text)

    def on_end(self, result: FoldResult) -> None:
        """Print the result of a fold."""
        key = (self.label, result.fold)
        self.board.running.discard(key)
        self.board.left.end(self.board.number(key))
        self.board.advance()
        self.board.refresh()
        if result.status == "failed":
            how = f"failed: {result.error}"
        else:
            auc = math.nan if result.auc is None else result.auc
            how = f"AUC {auc:.3f}  {result.seconds or 0:.0f} s"
        task = self.board.bar.tasks[0]
        count = f"({task.completed:.0f} of {task.total:.0f} folds, {self.board.state})"
        self.board.say(f"{self.label}  fold {result.fold:>2}  {how}  {count}")


def progress_console() -> Console:
    """The console of progress displays."""
    return Console(stderr=True, highlight=False)


def finished_folds(path: Path, only: Sequence[int] = ()) -> list[int]:
    """Numbers of the folds that are finished in a run's folder; of some folds only, if named."""
    folder = RunFolder(path)
    if not (path / "experiment.json").is_file():
        return []
    done = [fold for fold, result in folder.results().items() if result.status == "finished"]
    return [fold for fold in done if not only or fold in only]
