"""Progress of training: bars on a terminal, plain lines elsewhere."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

import click

from volbench._utils.text import command_line, plural, short_seconds
from volbench.cli.progress.closing import Closing
from volbench.cli.progress.trainings import TrainingsLine, fold_label
from volbench.crossval.fold_files import fold_auc
from volbench.crossval.open_run import Outcome
from volbench.crossval.plan import Plan
from volbench.crossval.run_cross_validation import Callback
from volbench.experiment.experiment import short_source
from volbench.runs.folder import FoldResult, RunFolder
from volbench.runs.load import load_run
from volbench.training.fold_reports import EpochReport, StepReport


class TrainingProgress(Closing, Callback):
    """Progress display: folds, epochs, time left and the running AUC.

    Args:
        beyond: Text about work after this run, such as the time left of a suite.
    """

    def __init__(self, *, beyond: Callable[[], str] = str) -> None:
        self.aucs: list[float] = []
        self.path = Path()
        self.line = TrainingsLine(
            "folds",
            "folds",
            before=lambda: (f"mean AUC {fmean(self.aucs):.3f}" if self.aucs else "",),
            after=lambda: (beyond(),),
        )

    def close(self) -> None:
        """Remove the bars."""
        self.line.close()

    def on_plan(self, plan: Plan, path: Path, done: Sequence[int], asked: Sequence[int]) -> None:
        """Print the experiment and the number of finished folds."""
        self.path = path
        experiment = plan.experiment
        pooling = experiment.aggregator or "slice level"
        self.line.say(
            f"{experiment.encoder}, {pooling}, {experiment.loss} "
            f"on {short_source(experiment.source)}: "
            f"{plural(len(asked), 'fold')}, {plan.parameters:,} parameters"
        )
        if done:
            self.line.say(f"finished already: {plural(len(done), 'fold')}")
            self.aucs += [fold_auc(RunFolder(path).fold(fold)) for fold in done]
        self.line.open(len(asked), len(done))

    def on_start(self, fold: int) -> None:
        """Add the bar of a fold."""
        self.line.begin(fold, fold_label(fold))

    def on_epoch(self, report: EpochReport) -> None:
        """Advance the bar of a fold."""
        self.line.epoch(report.fold, fold_label(report.fold), report)

    def on_step(self, report: StepReport) -> None:
        """Advance the bar of a fold within an epoch."""
        self.line.step(report.fold, fold_label(report.fold), report)

    def on_end(self, result: FoldResult) -> None:
        """Remove the bar of a fold and print its result."""
        self.line.end(result.fold)
        self.line.all.done += 1
        text = f"{fold_label(result.fold)}  "
        if result.status == "failed":
            text += f"failed: {result.error}"
        else:
            self.aucs.append(math.nan if result.auc is None else result.auc)
            text += (
                f"AUC {self.aucs[-1]:.3f}  epoch {result.selected_epoch:>2}  "
                f"{short_seconds(result.seconds or 0.0)} s"
            )
        self.line.say(text if self.line.is_live else f"{text}  ({self.line.state})")

    def on_wait(self, fold: int, reason: str) -> None:
        """Remove the bar of a fold that does not run, and print why."""
        self.line.drop(fold)
        if reason:
            self.line.say(f"{fold_label(fold)}  waits: {reason}")

    def on_warning(self, text: str) -> None:
        """Print a warning."""
        self.line.say(f"warning: {text}")

    def on_jobs(self, jobs: int, reason: str) -> None:
        """Print how many folds are trained at a time, and why."""
        self.line.say(f"{reason}: {jobs} folds at a time")

    def on_audit(self) -> None:
        """Print that the shortcut baselines run."""
        self.line.say("running shortcut baselines on the same folds")

    def summarise(self, outcome: Outcome, *, compare: str | None) -> None:
        """Print the outcome of the run and the command that compares it, if it is the last."""
        mean = f"mean AUC {fmean(self.aucs):.3f} over " if self.aucs else ""
        click.echo("\n".join(outcome_lines(outcome, mean=mean)))
        if len(outcome.failed) == len(outcome.results):
            words = ("volbench", "logs", outcome.path, "--fold", outcome.failed[0].fold)
            click.echo(f"see why with: {command_line(*words)}")
        elif compare is not None:
            click.echo(f"compare with: {compare}")


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
