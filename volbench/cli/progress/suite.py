"""Progress of a suite: current experiment, its folds, total time left."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console

from volbench._utils.text import plural
from volbench.cli.progress.closing import Closing
from volbench.cli.progress.time_left import TimeLeft
from volbench.cli.progress.training import TrainingProgress
from volbench.crossval import Plan
from volbench.runs.folder import FoldResult, RunFolder
from volbench.suite import Result, Suite, SuiteCallback, SuiteCandidate
from volbench.suite.run_suite import Planned
from volbench.training.fold import EpochReport


def describe_suite(suite: Suite, planned: Sequence[Planned], out: Path) -> str:
    """Plan of a suite in a few lines, with what is finished already."""
    plans = [each.plan for each in planned if each.plan is not None]
    folds = sum(len(plan.split.folds) for plan in plans)
    done = sum(_done(plan, out) for plan in plans)
    lines = [
        f"suite      {suite.title}",
        f"runs       {out}",
        *(f"data       {_describe_data(plan)}" for plan in plans[:1]),
        f"to do      {folds - done} of {folds} folds of {len(plans)} experiments",
    ]
    for number, each in enumerate(planned, start=1):
        if each.plan is None:
            state = f"cannot be run: {each.error}"
        else:
            recipe = suite.recipe or each.candidate.recipe
            epochs = each.plan.experiment.recipe.training.epochs
            state = f"{_done(each.plan, out)} of {len(each.plan.split.folds)} folds, {recipe}, "
            state += f"{plural(epochs, 'epoch')}, {each.plan.parameters:,} parameters"
        lines.append(f"{number:>3} {each.candidate.label}: {state}")
    return "\n".join(lines)


def _describe_data(plan: Plan) -> str:
    cases, size = plan.prepared.cases, plan.prepared.preprocessing.size
    counts = [
        f"{sum(case.label == index for case in cases)} {name}"
        for index, name in enumerate(plan.prepared.classes)
    ]
    slices = f"slices of {size} x {size}"
    return f"{plan.experiment.source}: {len(cases)} cases ({', '.join(counts)}), {slices}"


class SuiteProgress(Closing, SuiteCallback):
    """Progress display of a suite, with that of `volbench run` for each experiment."""

    def __init__(self, suite: Suite) -> None:
        self.suite = suite
        self.console = Console(stderr=True, highlight=False)
        self.left = TimeLeft(0)
        self.number, self.total = 0, 0
        self.run: TrainingProgress | None = None

    def close(self) -> None:
        """Close the display of the current experiment, if any."""
        if self.run is not None:
            self.run.close()
            self.run = None

    def on_suite(self, planned: Sequence[Planned], out: Path) -> None:
        """Print the number of experiments and folds to run."""
        plans = [each.plan for each in planned if each.plan is not None]
        folds = sum(len(plan.split.folds) for plan in plans)
        done = sum(_done(plan, out) for plan in plans)
        self.total = len(planned)
        self.left = TimeLeft(folds - done)
        there = f", {done} finished already" if done else ""
        self._say(f"{self.suite.title}: {self.total} experiments, {folds} folds{there}: {out}")
        for each in planned:
            if each.plan is None:
                self._say(f"cannot be run: {each.candidate.label}: {each.error}")

    def on_experiment(self, number: int, planned: Planned) -> None:
        """Print the number and label of the experiment."""
        self.number = number
        if planned.plan is not None:
            self._say(f"{number} of {self.total}: {planned.candidate.label}")

    def on_plan(self, plan: Plan, path: Path, done: Sequence[int], asked: Sequence[int]) -> None:
        """Open the display of the experiment, unless all its folds are finished."""
        if len(done) == len(asked):
            self._say(f"finished already: {len(done)} folds")
            return
        self.run = TrainingProgress(beyond=self._beyond)
        self.run.on_plan(plan, path, done, asked)

    def on_start(self, fold: int) -> None:
        """Show a started fold."""
        assert self.run is not None
        self.run.on_start(fold)

    def on_epoch(self, report: EpochReport) -> None:
        """Show a finished epoch."""
        assert self.run is not None
        self.left.epoch(self._key(report.fold), report.epoch, report.epochs)
        self.run.on_epoch(report)

    def on_end(self, result: FoldResult) -> None:
        """Show a finished or failed fold."""
        assert self.run is not None
        self.left.end(self._key(result.fold))
        self.run.on_end(result)

    def on_audit(self) -> None:
        """Show that the shortcut baselines run, once per data set."""
        if self.run is not None:
            self.run.on_audit()

    def on_result(self, number: int, result: Result) -> None:
        """Close the display of the experiment."""
        self.close()
        if result.outcome is None:
            self._say(f"failed: {result.candidate.label}: {result.error}")

    def summarise(self, results: Sequence[Result], out: Path | None) -> None:
        """Print the outcome of the suite and the command that shows it."""
        failed = [result for result in results if result.error is not None]
        finished = len(results) - len(failed)
        click.echo(
            plural(finished, "finished experiment") + (f", {len(failed)} failed" if failed else "")
        )
        for result in failed:
            click.echo(f"failed: {_label(result.candidate, results)}: {result.error}")
        words = ["volbench", "suite", "show", str(self.suite.path)]
        words += ["--scale", self.suite.scale] if self.suite.scale else []
        words += ["--out", str(out)] if out else []
        click.echo(f"show with: {shlex.join(words)}")

    def _beyond(self) -> str:
        left = str(self.left)
        return f"suite {left}" if left else ""

    def _key(self, fold: int) -> int:
        """Unique number of a fold across experiments."""
        return self.number * 1_000_000 + fold

    def _say(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)


def _done(plan: Plan, out: Path) -> int:
    folder = RunFolder(out / plan.experiment.name)
    if not (folder.path / "experiment.json").is_file():
        return 0
    return sum(result.status == "finished" for result in folder.results().values())


def _label(candidate: SuiteCandidate, results: Sequence[Result]) -> str:
    """Short label of an experiment; the full specs where two share the short one."""
    labels = [result.candidate.label for result in results]
    if labels.count(candidate.label) == 1:
        return candidate.label
    return f"{candidate.encoder}, {candidate.aggregator or 'slices'}, {candidate.loss}"
