"""Progress of tuning: trials, inner folds, best so far, time left."""

from collections.abc import Sequence
from pathlib import Path

from volbench._utils.text import short_seconds
from volbench.cli.progress.closing import Closing
from volbench.cli.progress.trainings import TrainingsLine, fold_label
from volbench.crossval.fold_task import Task
from volbench.experiment.experiment import short_source
from volbench.runs.folder import FoldResult
from volbench.training.fold_reports import EpochReport, StepReport
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
        self.line = TrainingsLine("trials", "trials", before=self._best)
        self.best: dict[int, float] = {}
        self.folds = 1
        self.outer = 0
        self.path = Path()
        self.warned: set[str] = set()

    def close(self) -> None:
        """Remove the bar."""
        self.line.close()

    def on_plan(self, tuning: TuningPlan, path: Path, done: int, total: int) -> None:
        """Print the search and the number of finished trials."""
        shown, settings = tuning.template.shown(), tuning.settings
        self.path = path
        self.folds = settings.inner_folds
        self.outer = len(tuning.plan.split.folds)
        self.line.say(
            f"{shown['encoder']}, {shown['aggregator'] or 'slice level'}, {shown['loss']} on "
            f"{short_source(tuning.plan.experiment.source)}: {total} trials of "
            f"{settings.inner_folds} inner folds, then {self.outer} outer folds"
        )
        if notice := settings.notice():
            self.line.say(f"note: {notice}")
        if done:
            self.line.say(f"ended already: {done} trials")
        # In trainings; those of the outer folds count like the others, though they are longer.
        self.line.per_item = self.folds
        self.line.open(total, done, trainings=(total - done) * self.folds + self.outer)

    def on_step(self, task: Task, report: StepReport, trial: ActiveTrial | None) -> None:
        """Advance the bar of a training within an epoch."""
        self.line.step(*_training(task, trial), report)

    def on_epoch(self, task: Task, report: EpochReport, trial: ActiveTrial | None) -> None:
        """Advance the bar of a training."""
        self.line.epoch(*_training(task, trial), report)

    def on_score(self, trial: ActiveTrial, fold: int) -> None:
        """Count a finished inner fold."""
        self.line.end((trial.folder.path, fold))

    def on_told(self, trial: ActiveTrial, best: float | None) -> None:
        """Print the result of a trial."""
        if best is not None:
            self.best[trial.inner.outer] = best
        for fold in set(range(self.folds)) - trial.scores.keys():  # those it was spared
            self.line.end((trial.folder.path, fold))
        self.line.all.done += 1
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
        left = "" if self.line.is_live else f"  ({self.line.state})"
        self.line.say(f"{_name(trial)}  {state}{best_text}  {tried}{left}")

    def on_winner(self, fold: int, winner: FoldWinner) -> None:
        """Print the hyperparameters chosen for an outer fold."""
        tried = ", ".join(f"{name}={value}" for name, value in winner.values.items())
        self.line.say(f"outer fold {fold}: trial {winner.trial} won, {tried}")

    def on_outer(self, result: FoldResult, winner: FoldWinner | None) -> None:
        """Print the result of an outer fold."""
        self.line.end((self.path, result.fold))
        if result.status == "failed":
            self.line.say(f"outer fold {result.fold}  failed: {result.error}")
        else:
            took = short_seconds(result.seconds or 0.0)
            self.line.say(f"outer fold {result.fold}  trained and scored, {took} s")

    def on_warning(self, text: str) -> None:
        """Print a warning, once however many trials have it."""
        if text not in self.warned:
            self.warned.add(text)
            self.line.say(f"warning: {text}")

    def on_wait(self) -> None:
        """Print that other processes run the remaining trials."""
        self.line.say("waiting for trials running in other processes")

    def on_audit(self) -> None:
        """Print that the shortcut baselines run."""
        self.line.say("running shortcut baselines on the same folds")

    def _best(self) -> Sequence[str]:
        return (f"best {max(self.best.values()):.3f}" if self.best else "",)


def _training(task: Task, trial: ActiveTrial | None) -> tuple[tuple[Path, int], str]:
    """Key and name of a training."""
    name = "outer" if trial is None else f"{_name(trial)}  inner"
    return (task.run, task.fold), f"{name} {fold_label(task.fold)}"


def _name(trial: ActiveTrial) -> str:
    where = "" if trial.inner.outer == FLAT else f"fold {trial.inner.outer} "
    return f"{where}trial {trial.place:>2}"
