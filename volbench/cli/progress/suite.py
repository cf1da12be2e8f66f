"""What a person sees while a suite runs: which experiment, its folds, the time left over all."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console

from volbench.cli.progress.closing import Closing
from volbench.cli.progress.time_left import TimeLeft
from volbench.cli.progress.training import TrainingProgress
from volbench.crossval import Plan
from volbench.runs.folder import FoldResult, RunFolder
from volbench.suite import Result, Suite, SuiteCallback, SuiteCandidate
from volbench.suite.run_suite import Planned
from volbench.training.fold import EpochReport


def describe_suite(suite: Suite, planned: Sequence[Planned], out: Path) -> str:
    """Tell in a few lines what would be run, and what is there already."""
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
            state += (
                f"{epochs} epoch{'' if epochs == 1 else 's'}, {each.plan.parameters:,} parameters"
            )
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
    """Shows the folds of each experiment as `volbench run` does; a context manager."""

    def __init__(self, suite: Suite) -> None:
        self.suite = suite
        self.console = Console(stderr=True, highlight=False)
        self.left = TimeLeft(0)
        self.number, self.total = 0, 0
        self.run: TrainingProgress | None = None

    def close(self) -> None:
        """Close the folds of the experiment that is open, if one is."""
        if self.run is not None:
            self.run.close()
            self.run = None

    def on_suite(self, planned: Sequence[Planned], out: Path) -> None:
        """Say how much there is to do."""
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
        """Say which experiment it is."""
        self.number = number
        if planned.plan is not None:
            self._say(f"{number} of {self.total}: {planned.candidate.label}")

    def on_plan(self, plan: Plan, path: Path, done: Sequence[int], asked: Sequence[int]) -> None:
        """Open the experiment's folds, unless all are finished."""
        if len(done) == len(asked):
            self._say(f"finished already: {len(done)} folds")
            return
        self.run = TrainingProgress(beyond=self._beyond)
        self.run.on_plan(plan, path, done, asked)

    def on_start(self, fold: int) -> None:
        """A fold starts."""
        assert self.run is not None
        self.run.on_start(fold)

    def on_epoch(self, report: EpochReport) -> None:
        """An epoch ended."""
        assert self.run is not None
        self.left.epoch(self._key(report.fold), report.epoch, report.epochs)
        self.run.on_epoch(report)

    def on_end(self, result: FoldResult) -> None:
        """A fold ended."""
        assert self.run is not None
        self.left.end(self._key(result.fold))
        self.run.on_end(result)

    def on_audit(self) -> None:
        """The data are looked at; the first experiment waits for it, the others find it done."""
        if self.run is not None:
            self.run.on_audit()

    def on_result(self, number: int, result: Result) -> None:
        """Close the experiment's folds."""
        self.close()
        if result.outcome is None:
            self._say(f"failed: {result.candidate.label}: {result.error}")

    def summarise(self, results: Sequence[Result], out: Path | None) -> None:
        """Print how the suite ended and what to do next."""
        failed = [result for result in results if result.error is not None]
        finished = len(results) - len(failed)
        plural = "" if finished == 1 else "s"
        click.echo(
            f"{finished} finished experiment{plural}"
            + (f", {len(failed)} failed" if failed else "")
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
        """A number for each fold of each experiment."""
        return self.number * 1_000_000 + fold

    def _say(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)


def _done(plan: Plan, out: Path) -> int:
    folder = RunFolder(out / plan.experiment.name)
    if not (folder.path / "experiment.json").is_file():
        return 0
    return sum(result.status == "finished" for result in folder.results().values())


def _label(candidate: SuiteCandidate, results: Sequence[Result]) -> str:
    """The components in short; in full where two experiments share the short form."""
    labels = [result.candidate.label for result in results]
    if labels.count(candidate.label) == 1:
        return candidate.label
    return f"{candidate.encoder}, {candidate.aggregator or 'slices'}, {candidate.loss}"
