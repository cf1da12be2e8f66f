"""Progress of a suite: current experiment, its folds, total time left."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import click

from volbench._utils.text import command_line, plural
from volbench._utils.text_table import Column, draw_table, output_width, paragraph
from volbench.cli.output import echo_note, facts_text
from volbench.cli.progress.closing import Closing
from volbench.cli.progress.time_left import TimeLeft
from volbench.cli.progress.together import TogetherProgress, finished_folds
from volbench.cli.progress.training import TrainingProgress
from volbench.crossval.plan import Plan
from volbench.crossval.run_cross_validation import Callback
from volbench.crossval.variants import MAIN, Variant
from volbench.experiment.setting_differences import COMPONENTS, differing_settings
from volbench.leaderboard.statistics.race import Stop
from volbench.runs.folder import FoldResult
from volbench.suite import Result, Suite, SuiteCallback
from volbench.suite.labels import candidate_labels, known_settings
from volbench.suite.race import Racer
from volbench.suite.run_suite import Planned
from volbench.training.fold_reports import EpochReport, StepReport


def describe_suite(suite: Suite, planned: Sequence[Planned], out: Path) -> str:
    """Plan of a suite in a few lines, with what is finished already."""
    plans = [each.plan for each in planned if each.plan is not None]
    folds = sum(len(plan.split.folds) for plan in plans)
    done = sum(_done(plan, out) for plan in plans)
    facts = [
        ("suite", suite.title),
        ("runs", str(out)),
        *(("data", _describe_data(plan)) for plan in plans[:1]),
        ("to do", f"{folds - done} of {folds} folds of {len(plans)} experiments"),
    ]
    width = output_width()
    drawn, left_out = draw_table(_columns(suite, planned, out), width)
    lines = [facts_text(facts, least=11), drawn, *([f"Left out: {left_out}"] if left_out else [])]
    lines += [
        line
        for number, each in enumerate(planned, start=1)
        if each.plan is None
        for line in paragraph(f"{number}: cannot be run: {each.error}", width)
    ]
    return "\n".join(lines)


def _columns(suite: Suite, planned: Sequence[Planned], out: Path) -> list[Column]:
    """The experiments: what they differ in, and how far they are."""
    plans = [each.plan for each in planned]
    settings = differing_settings(
        [
            known_settings(suite, each.candidate)
            if each.plan is None
            else each.plan.experiment.to_json()
            for each in planned
        ]
    )
    columns = [Column(each.heading, each.texts, lead=True) for each in settings]
    if not any(each.key in COMPONENTS for each in settings):
        labels = [each.candidate.label for each in planned]
        columns.insert(0, Column("experiment", labels, lead=True))
    if all(each.key != "training.epochs" for each in settings):
        epochs = ["" if p is None else str(p.experiment.recipe.training.epochs) for p in plans]
        columns.append(Column("epochs", epochs, "number"))
    parameters = ["" if plan is None else f"{plan.parameters:,}" for plan in plans]
    return [
        Column("#", [str(number + 1) for number in range(len(plans))], "number", lead=True),
        *columns,
        Column("folds", [_folds(plan, out) for plan in plans], "number"),
        Column("parameters", parameters, "number", spare=1),
    ]


def _folds(plan: Plan | None, out: Path) -> str:
    return "cannot be run" if plan is None else f"{_done(plan, out)}/{len(plan.split.folds)}"


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
        self.labels = candidate_labels(suite)
        self.left = TimeLeft(0)
        self.number, self.total = 0, 0
        self.run: TrainingProgress | None = None
        self.together: TogetherProgress | None = None
        self.folds = (0, 0)

    def close(self) -> None:
        """Close the display of the current experiment, or of all, if any."""
        if self.together is not None:
            self.together.close()
            self.together = None
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
        self.folds = (folds, done)
        there = f", {done} finished already" if done else ""
        self._say(f"{self.suite.title}: {self.total} experiments, {folds} folds{there}: {out}")
        for each in planned:
            if each.plan is None:
                self._say(f"cannot be run: {self._label(each)}: {each.error}")

    def on_experiment(self, number: int, planned: Planned) -> None:
        """Print the number and label of the experiment."""
        self.number = number
        if planned.plan is not None:
            self._say(f"{number} of {self.total}: {self._label(planned)}")

    def of_experiment(self, number: int, planned: Planned) -> Callback:
        """Hooks of one experiment of those that are trained together."""
        if self.together is None:
            folds, done = self.folds
            self.together = TogetherProgress(total=folds, done=done)
        return self.together.of(self._label(planned))

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

    def on_step(self, report: StepReport) -> None:
        """Show steps within an epoch."""
        assert self.run is not None
        self.left.step(self._key(report.fold), report.epoch, report.epochs, report.share)
        self.run.on_step(report)

    def on_end(self, result: FoldResult) -> None:
        """Show a finished or failed fold."""
        assert self.run is not None
        self.left.end(self._key(result.fold))
        self.run.on_end(result)

    def on_audit(self) -> None:
        """Show that the shortcut baselines run, once per data set."""
        if self.run is not None:
            self.run.on_audit()

    def on_round(self, number: int, rounds: int, racers: Sequence[Racer]) -> None:
        """Print the number of the round and how many candidates are left."""
        self._say(f"round {number} of {rounds}: {plural(len(racers), 'candidate')}")

    def on_fold(self, racer: Racer, result: FoldResult) -> None:
        """Print a fold of a race."""
        auc = "not defined" if result.auc is None else f"{result.auc:.3f}"
        ended = f"AUC {auc}" if result.status == "finished" else f"failed: {result.error}"
        self._say(f"  {racer.path.name}  fold {result.fold}  {ended}")

    def on_stop(self, racer: Racer, stop: Stop) -> None:
        """Print why a candidate is trained no further."""
        self._say(f"  {racer.path.name}  {stop.text}")

    def on_result(self, number: int, result: Result) -> None:
        """Close the display of the experiment."""
        self.close()
        if result.outcome is None:
            self._say(f"failed: {self.labels[result.candidate]}: {result.error}")

    def summarise(
        self, results: Sequence[Result], out: Path | None, variants: Sequence[Variant] = (MAIN,)
    ) -> None:
        """Print the outcome of the suite and the commands that show it."""
        failed = [result for result in results if result.error is not None]
        finished = len(results) - len(failed)
        click.echo(
            plural(finished, "finished experiment") + (f", {len(failed)} failed" if failed else "")
        )
        for result in results:
            if result.stop is not None:
                click.echo(f"{self.labels[result.candidate]}: {result.stop.text}")
        for result in failed:
            click.echo(f"failed: {self.labels[result.candidate]}: {result.error}")
        if any(not variant.main for variant in variants):
            compare = command_line("volbench", "compare", out or self.suite.out, "--repeats")
            click.echo(f"compare with: {compare}")
        if not any(variant.main for variant in variants):  # of which there are no tables
            return
        words = ["volbench", "suite", "show", str(self.suite.path)]
        words += ["--scale", self.suite.scale] if self.suite.scale else []
        words += ["--out", str(out)] if out else []
        click.echo(f"show with: {shlex.join(words)}")

    def _label(self, planned: Planned) -> str:
        """The candidate, and which of its runs."""
        return f"{self.labels[planned.candidate]}{planned.variant.suffix}"

    def _beyond(self) -> str:
        left = str(self.left)
        return f"suite {left}" if left else ""

    def _key(self, fold: int) -> int:
        """Unique number of a fold across experiments."""
        return self.number * 1_000_000 + fold

    def _say(self, text: str) -> None:
        echo_note(text)  # above a bar, too, which catches what is printed


def _done(plan: Plan, out: Path) -> int:
    return len(finished_folds(out / plan.experiment.name))
