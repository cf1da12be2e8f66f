"""Progress of tuning: trials, inner folds, best so far, time left."""

import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from volbench.cli.progress.closing import Closing
from volbench.cli.progress.time_left import TimeLeft
from volbench.cli.progress.training import PLAIN_SECONDS
from volbench.crossval.task import Task
from volbench.experiment.experiment import short_source
from volbench.runs.folder import FoldResult
from volbench.training.fold import EpochReport
from volbench.tune import FoldWinner, TuningCallback, TuningPlan
from volbench.tune.plan import FLAT
from volbench.tune.trial import ActiveTrial


def describe_tuning(tuning: TuningPlan, path: Path) -> str:
    """Plan of a search in a few lines."""
    plan, settings = tuning.plan, tuning.settings
    shown = tuning.template.shown()
    inner = next(iter(tuning.inner.values()))
    part = inner.part(inner.split.folds[0], plan.experiment)
    studies = len(tuning.inner)
    most = studies * settings.trials * settings.inner_folds + len(plan.split.folds)
    where = "all cases" if settings.flat else "the training part of each outer fold"
    lines = [
        f"run        {path}",
        f"encoder    {shown['encoder']}",
        f"aggregator {shown['aggregator'] or 'none: each representative slice is predicted'}",
        f"loss       {shown['loss']}",
        *(f"search     {name} in {space}" for name, space in tuning.template.spaces.items()),
        f"data       {plan.experiment.source}: {len(plan.prepared.cases)} cases",
        f"studies    {studies}, of {settings.trials} trials each, on {where}",
        f"inner      {settings.inner_folds} folds; the first trains on {len(part.train)} cases, "
        f"picks the checkpoint on {len(part.validation)}, scores {len(part.test)}",
        f"outer      {len(plan.split.folds)} folds, which score the winners only",
        f"trainings  {most} at most",
        f"recipe     {plan.experiment.recipe.summary}",
    ]
    if notice := settings.notice():
        lines.append(f"note       {notice}")
    return "\n".join(lines)


class TuningProgress(Closing, TuningCallback):
    """Progress display: trials, inner folds, best so far and time left."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)
        columns = (
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
        )
        self.bar = Progress(
            TextColumn("[bold]trials[/]"),
            *columns,
            console=self.console,
            transient=True,
            expand=True,
        )
        self.left = TimeLeft(0)
        self.numbers: dict[tuple[Path, int], int] = {}
        self.said = time.monotonic()
        self.best: dict[int, float] = {}
        self.folds = 1
        self.trials = 0
        self.outer = 0
        self.warned: set[str] = set()

    def close(self) -> None:
        """Remove the bar."""
        self.bar.stop()

    def on_plan(self, tuning: TuningPlan, path: Path, done: int, total: int) -> None:
        """Print the search and the number of finished trials."""
        shown, settings = tuning.template.shown(), tuning.settings
        self.folds = settings.inner_folds
        self.outer = len(tuning.plan.split.folds)
        self._say(
            f"{shown['encoder']}, {shown['aggregator'] or 'slice level'}, {shown['loss']} on "
            f"{short_source(tuning.plan.experiment.source)}: {total} trials of "
            f"{settings.inner_folds} inner folds, then {self.outer} outer folds"
        )
        if notice := settings.notice():
            self._say(f"note: {notice}")
        if done:
            self._say(f"ended already: {done} trials")
        # In trainings; those of the outer folds count like the others, though they are longer.
        self.left = TimeLeft((total - done) * self.folds + self.outer)
        self.task = self.bar.add_task("", total=total, completed=done)
        if self.console.is_terminal:
            self.bar.start()

    def on_epoch(self, task: Task, report: EpochReport, trial: ActiveTrial | None) -> None:
        """Update the time left."""
        number = self.numbers.setdefault((task.run, task.fold), len(self.numbers))
        self.left.epoch(number, report.epoch, report.epochs)
        where = f"outer fold {task.fold}" if trial is None else f"{_name(trial)} fold {task.fold}"
        self._update(f"{where}, epoch {report.epoch} of {report.epochs}")
        if not self.console.is_terminal and time.monotonic() - self.said >= PLAIN_SECONDS:
            self._say(f"{where}  epoch {report.epoch} of {report.epochs}  ({self.left})")

    def on_score(self, trial: ActiveTrial, fold: int) -> None:
        """Count a finished inner fold."""
        self.left.end(self.numbers.pop((trial.folder.path, fold), len(self.numbers)))

    def on_told(self, trial: ActiveTrial, best: float | None) -> None:
        """Print the result of a trial."""
        if best is not None:
            self.best[trial.inner.outer] = best
        for _ in range(self.folds - len(trial.scores)):  # those it was spared
            self.left.end(-1)
        self.bar.update(self.task, advance=1)
        if not trial.scores:
            row = trial.study.get_trials(deepcopy=False)[trial.trial.number]
            state = f"failed: {row.user_attrs.get('reason')}"
        else:
            how = f" (ended after {len(trial.scores)} folds)" if trial.pruned else ""
            state = f"inner AUC {trial.mean:.3f}{how}"
        tried = ", ".join(
            f"{name}={value}" for name, value in trial.tuning.values(trial.trial.params).items()
        )
        best_text = "" if best is None else f"  best {best:.3f}"
        left = f"  ({self.left})" if str(self.left) and not self.console.is_terminal else ""
        self._say(f"{_name(trial)}  {state}{best_text}  {tried}{left}")
        self._update("")

    def on_winner(self, fold: int, winner: FoldWinner) -> None:
        """Print the hyperparameters chosen for an outer fold."""
        tried = ", ".join(f"{name}={value}" for name, value in winner.values.items())
        self._say(f"outer fold {fold}: trial {winner.trial} won, {tried}")

    def on_outer(self, result: FoldResult, winner: FoldWinner | None) -> None:
        """Print the result of an outer fold."""
        if result.status == "failed":
            self._say(f"outer fold {result.fold}  failed: {result.error}")
        else:
            self._say(f"outer fold {result.fold}  trained and scored, {result.seconds:.0f} s")

    def on_warning(self, text: str) -> None:
        """Print a warning, once however many trials have it."""
        if text not in self.warned:
            self.warned.add(text)
            self._say(f"warning: {text}")

    def on_wait(self) -> None:
        """Print that other processes run the remaining trials."""
        self._say("waiting for trials running in other processes")

    def on_audit(self) -> None:
        """Print that the shortcut baselines run."""
        self._say("running shortcut baselines on the same folds")

    def _update(self, what: str) -> None:
        best = max(self.best.values(), default=None)
        parts = (f"best {best:.3f}" if best is not None else "", str(self.left), what)
        self.bar.update(self.task, description=", ".join(part for part in parts if part))

    def _say(self, text: str) -> None:
        self.said = time.monotonic()
        self.console.print(text, markup=False, soft_wrap=True)


def _name(trial: ActiveTrial) -> str:
    where = "" if trial.inner.outer == FLAT else f"fold {trial.inner.outer} "
    return f"{where}trial {trial.place:>2}"
