"""`volbench tune`: nested cross-validated hyperparameter search."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from volbench._utils.text import command_line
from volbench.cli.executor import open_executor
from volbench.cli.options import (
    FiniteRange,
    check_name,
    execution_options,
    experiment_options,
    local_copy_option,
    on_option,
    track_option,
)
from volbench.cli.output import echo_curves

if TYPE_CHECKING:
    from volbench.experiment.experiment import Level, Precision
    from volbench.interfaces import Executor
    from volbench.tune.outcome import TuningOutcome
    from volbench.tune.plan import TuningPlan
    from volbench.tune.settings import PrunerName, SamplerName

FOLD_FAILED, INTERRUPTED = 1, 130


def _show(context: click.Context, parameter: click.Parameter, value: Path | None) -> None:
    if value is None:
        return
    from volbench.cli.tuning_tables import show_tuning

    click.echo(show_tuning(value), nl=False)
    context.exit()


@click.command("tune")
@experiment_options
@click.option(
    "--trials",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="Trials per outer fold.",
)
@click.option(
    "--inner-folds",
    type=click.IntRange(2),
    default=3,
    show_default=True,
    help="Inner folds, drawn from the training part of each outer fold.",
)
@click.option(
    "--sampler",
    type=click.Choice(["tpe", "random", "qmc"]),
    default="tpe",
    show_default=True,
    help="Sampler that proposes the hyperparameters of a trial.",
)
@click.option(
    "--pruner",
    type=click.Choice(["wilcoxon", "median", "none"]),
    default="wilcoxon",
    show_default=True,
    help="Early stopping of trials: after an inner fold, or (median) after an epoch.",
)
@click.option(
    "--prune-below",
    type=FiniteRange(0, 1, min_open=True),
    default=0.1,
    show_default=True,
    metavar="P",
    help="Significance level at which the Wilcoxon pruner stops a trial.",
)
@click.option(
    "--flat",
    is_flag=True,
    help="One search on all cases, not nested; results are marked as selected on these data.",
)
@click.option(
    "--storage",
    metavar="URL|journal",
    help="Database shared by several machines, e.g. postgresql+psycopg://host/name; or journal, a "
    "file in the run folder for machines that share a disk only. Default: SQLite in the run "
    "folder; with --on: journal.",
)
@click.option(
    "--heartbeat",
    type=click.IntRange(1),
    default=15,
    show_default=True,
    metavar="SECONDS",
    help="Heartbeat interval; a trial silent for four intervals is retried.",
)
@execution_options
@on_option
@track_option
@local_copy_option
@click.option(
    "--show",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    is_eager=True,
    expose_value=False,
    callback=_show,
    metavar="RUN",
    help="Print the results of a tuned run and exit.",
)
def command(
    encoder: str,
    aggregator: str | None,
    loss: str,
    data: str,
    level: "Level",
    recipe: str,
    overrides: tuple[str, ...],
    folds: str,
    seed: int,
    allow_duplicates: bool,
    trials: int,
    inner_folds: int,
    sampler: "SamplerName",
    pruner: "PrunerName",
    prune_below: float,
    flat: bool,
    storage: str | None,
    heartbeat: int,
    device: str,
    precision: "Precision",
    jobs: int | None,
    name: str | None,
    out: Path,
    checkpoint_seconds: float,
    local_copy: Path | None,
    on: str,
    track: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Tune hyperparameters by nested cross-validation.

    A value in a spec or in --set may be a search space: uniform(low=0, high=5), loguniform,
    integer(low=1, high=8), choice(among=("mean", "sum")). A component without arguments is
    searched over its own default space. In each outer fold, inner folds drawn from its training
    part choose the hyperparameters; the outer fold only scores the winner.

    Rerun the same command to resume; processes started at the same time share the work. The first
    Ctrl-C stops after the running trainings, a second one at once. With --on, --jobs processes
    (default: one per study) share the search on the executor's machines.

    \b
    volbench tune --encoder rmc5 --agg bilinear --loss focal+triplet
    volbench tune --encoder rmc5 --agg average --loss 'focal(gamma=uniform(low=0, high=5))'
    """
    check_name(name)
    from volbench.cli.progress.counter import counter
    from volbench.cli.progress.tuning import TuningProgress, describe_tuning
    from volbench.cli.tuning_tables import show_tuning
    from volbench.tune import Settings, make_tuning_plan, tune
    from volbench.tune.page import write_page

    settings = Settings(
        trials=trials,
        inner_folds=inner_folds,
        sampler=sampler,
        pruner=pruner,
        prune_below=prune_below,
        flat=flat,
    )
    with counter("preparing", "cases") as on_case:
        tuning = make_tuning_plan(
            encoder=encoder,
            aggregator=aggregator,
            loss=loss,
            settings=settings,
            data=data,
            level=level,
            recipe=recipe,
            overrides=overrides,
            folds=folds,
            seed=seed,
            precision=precision,
            jobs=jobs,
            on_case=on_case,
            allow_duplicates=allow_duplicates,
        )
    path = out / (name or tuning.plan.experiment.name)
    with open_executor(on, path) as executor:
        if executor is not None:
            outcome = _tune_on(
                executor,
                tuning,
                path,
                dry_run=dry_run,
                storage=storage,
                device=device,
                jobs=jobs,
                heartbeat_s=heartbeat,
                checkpoint_seconds=checkpoint_seconds,
                track=track,
                local_copy=local_copy,
            )
        elif dry_run:
            click.echo(describe_tuning(tuning, path))
            outcome = None
        else:
            with TuningProgress() as progress, _patience() as asked:
                outcome = tune(
                    tuning,
                    out=out,
                    name=name,
                    storage=storage,
                    device=device,
                    jobs=jobs,
                    heartbeat_s=heartbeat,
                    checkpoint_seconds=checkpoint_seconds,
                    local_copy=local_copy,
                    callback=progress,
                    track=track,
                    stopped=lambda: bool(asked),
                )
    if outcome is None:
        return
    if outcome.stopped:
        click.echo("volbench: interrupted; rerun the same command to resume", err=True)
        raise click.exceptions.Exit(INTERRUPTED)
    page = write_page(outcome.path)
    click.echo(show_tuning(outcome.path), nl=False)
    compare = command_line("volbench", "compare", outcome.path.parent)
    click.echo(f"plots: {page}\ncompare with: {compare}")
    echo_curves(track)
    if outcome.errors:
        raise click.exceptions.Exit(FOLD_FAILED)


def _tune_on(
    executor: "Executor",
    tuning: "TuningPlan",
    path: Path,
    *,
    dry_run: bool,
    storage: str | None,
    **options: Any,
) -> "TuningOutcome | None":
    """Tune on other machines, or show what would be submitted."""
    from volbench.cli.progress.tuning import describe_tuning
    from volbench.crossval.settings import EXECUTOR
    from volbench.tune.on_executor import tune_on, tuning_tasks

    tasks = tuning_tasks(tuning, path, storage=storage, **options)
    if dry_run:
        click.echo(describe_tuning(tuning, path))
        click.echo(executor.describe(tasks, path / EXECUTOR))
        return None
    return tune_on(
        executor,
        tuning,
        path,
        tasks,
        storage=storage,
        on_line=lambda line: click.echo(line, err=True),
    )


@contextmanager
def _patience() -> Iterator[list[int]]:
    """Defer the first Ctrl-C until running trainings end; a second one interrupts at once."""
    asked: list[int] = []

    def note(number: int, frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        click.echo(
            "\nstopping after the running trainings; press Ctrl-C again to stop now", err=True
        )

    before = signal.signal(signal.SIGINT, note)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
