"""Progress of training: bars on a terminal, plain lines elsewhere."""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

import click
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from volbench._utils.text import plural
from volbench.cli.progress.closing import Closing
from volbench.cli.progress.time_left import TimeLeft
from volbench.cli.progress.together import progress_console
from volbench.crossval import Outcome, Plan
from volbench.crossval.run import Callback
from volbench.crossval.task import fold_auc
from volbench.experiment.experiment import short_source
from volbench.runs.folder import FoldResult, RunFolder
from volbench.runs.load import load_run
from volbench.training.fold import EpochReport

PLAIN_SECONDS = 30.0
"""Longest interval between plain lines, in seconds, if an epoch is not longer."""


WORTH_SAYING = 0.1
"""Share of the time spent waiting for transforms from which on a person is told."""


class TrainingProgress(Closing, Callback):
    """Progress display: folds, epochs, time left and the running AUC.

    Args:
        beyond: Text about work after this run, such as the time left of a suite.
    """

    def __init__(self, *, beyond: Callable[[], str] = str) -> None:
        self.beyond = beyond
        self.console = progress_console()
        self.aucs: list[float] = []
        self.path = Path()
        self.said = time.monotonic()
        self.left = TimeLeft(0)
        self.folds = _bars("[bold]folds[/]   ", self.console)
        self.active = _bars("  fold {task.fields[fold]:>2}", self.console)
        self.live = Live(Group(self.folds, self.active), console=self.console, transient=True)
        self.rows: dict[int, TaskID] = {}

    def close(self) -> None:
        """Remove the bars."""
        self.live.stop()

    def on_plan(self, plan: Plan, path: Path, done: Sequence[int], asked: Sequence[int]) -> None:
        """Print the experiment and the number of finished folds."""
        self.path = path
        experiment = plan.experiment
        pooling = experiment.aggregator or "slice level"
        self._say(
            f"{experiment.encoder}, {pooling}, {experiment.loss} "
            f"on {short_source(experiment.source)}: "
            f"{plural(len(asked), 'fold')}, {plan.parameters:,} parameters"
        )
        if done:
            self._say(f"finished already: {plural(len(done), 'fold')}")
            self.aucs += [fold_auc(RunFolder(path).fold(fold)) for fold in done]
        self.left = TimeLeft(len(asked) - len(done))
        self.overall = self.folds.add_task(self._state(), total=len(asked), completed=len(done))
        if self.console.is_terminal:
            self.live.start()

    def on_start(self, fold: int) -> None:
        """Add the bar of a fold, unless it is there: a fold may begin again."""
        if fold in self.rows:
            return
        self.rows[fold] = self.active.add_task("starting", fold=fold, total=None)

    def on_epoch(self, report: EpochReport) -> None:
        """Advance the bar of a fold."""
        self.on_start(report.fold)
        self.left.epoch(report.fold, report.epoch, report.epochs)
        auc = "" if report.auc is None else f"  validation AUC {report.auc:.3f}"
        rate = "" if report.rate is None else f"  rate {report.rate:.1e}"
        reached = f"loss {report.loss:.3f}{auc}{rate}{_waiting(report.waiting)}"
        self.active.update(
            self.rows[report.fold],
            completed=report.epoch,
            total=report.epochs,
            description=reached,
        )
        self.folds.update(self.overall, description=self._state())
        if not self.console.is_terminal and time.monotonic() - self.said >= PLAIN_SECONDS:
            epoch = f"fold {report.fold:>2}  epoch {report.epoch} of {report.epochs}"
            self._say(f"{epoch}  {reached}  ({self.left})")

    def on_end(self, result: FoldResult) -> None:
        """Remove the bar of a fold and print its result."""
        self._remove(result.fold)
        self.left.end(result.fold)
        if result.status == "failed":
            line = f"fold {result.fold:>2}  failed: {result.error}"
        else:
            self.aucs.append(math.nan if result.auc is None else result.auc)
            line = (
                f"fold {result.fold:>2}  AUC {self.aucs[-1]:.3f}  "
                f"epoch {result.selected_epoch:>2}  {result.seconds:.0f} s"
            )
        self.folds.update(self.overall, advance=1)
        self.folds.update(self.overall, description=self._state())
        if not self.console.is_terminal:
            task = self.folds.tasks[0]
            total = plural(round(task.total or 0), "fold")
            state = f", {self._state()}" if self._state() else ""
            line += f"  ({task.completed:.0f} of {total}{state})"
        self._say(line)

    def on_wait(self, fold: int, reason: str) -> None:
        """Remove the bar of a fold that does not run, and print why."""
        self._remove(fold)
        if reason:
            self._say(f"fold {fold:>2}  waits: {reason}")

    def _remove(self, fold: int) -> None:
        if (row := self.rows.pop(fold, None)) is not None:
            self.active.remove_task(row)

    def on_warning(self, text: str) -> None:
        """Print a warning."""
        self._say(f"warning: {text}")

    def on_audit(self) -> None:
        """Print that the shortcut baselines run."""
        self._say("running shortcut baselines on the same folds")

    def summarise(self, outcome: Outcome) -> None:
        """Print the outcome of the run and the command that compares it."""
        mean = f"mean AUC {fmean(self.aucs):.3f} over " if self.aucs else ""
        click.echo("\n".join(outcome_lines(outcome, mean=mean)))
        click.echo(f"compare with: volbench compare {outcome.path.parent}")

    def _state(self) -> str:
        auc = f"mean AUC {fmean(self.aucs):.3f}" if self.aucs else ""
        elapsed = f"{self.left.elapsed} elapsed" if self.console.is_terminal else ""
        return ", ".join(part for part in (auc, elapsed, str(self.left), self.beyond()) if part)

    def _say(self, text: str) -> None:
        self.said = time.monotonic()
        self.console.print(text, markup=False, soft_wrap=True)


def outcome_lines(outcome: Outcome, *, mean: str = "") -> list[str]:
    """How many folds of a run are finished, and where; then its runs of clinical columns."""
    finished = len(outcome.results) - len(outcome.failed)
    failed = f", {len(outcome.failed)} failed" if outcome.failed else ""
    line = f"{mean}{plural(finished, 'finished fold')}{failed}: {outcome.path}"
    return [line, *map(_beside, outcome.tabular)]


def _beside(outcome: Outcome) -> str:
    """A run of clinical columns in a line."""
    loaded = load_run(outcome.path)
    what = "network and columns" if loaded.uses_images else "columns alone"
    areas = [result.auc for result in outcome.results.values() if result.auc is not None]
    mean = f"mean AUC {fmean(areas):.3f}" if areas else "no AUC"
    failed = f", {plural(len(outcome.failed), 'fold')} failed" if outcome.failed else ""
    return f"{what}: {mean} over {plural(len(areas), 'fold')}{failed}: {outcome.path}"


def _waiting(share: float) -> str:
    """Say when the device is kept waiting by TorchIO's transforms, so that workers can be added."""
    return f"  waiting {share:.0%} for TorchIO" if share >= WORTH_SAYING else ""


def _bars(label: str, console: Console) -> Progress:
    columns = (BarColumn(bar_width=None), MofNCompleteColumn(), TextColumn("{task.description}"))
    return Progress(TextColumn(label), *columns, console=console, expand=True)
