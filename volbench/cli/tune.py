"""`volbench tune`: find good hyperparameters without looking at the folds that judge them."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from volbench.cli.options import check_name, execution_options, experiment_options

if TYPE_CHECKING:
    from volbench.experiment.experiment import Level, Precision
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
    help="Candidates tried per outer fold.",
)
@click.option(
    "--inner-folds",
    type=click.IntRange(2),
    default=3,
    show_default=True,
    help="Folds made of what an outer fold trains on; they choose.",
)
@click.option(
    "--sampler",
    type=click.Choice(["tpe", "random", "qmc"]),
    default="tpe",
    show_default=True,
    help="Who proposes the next candidate.",
)
@click.option(
    "--pruner",
    type=click.Choice(["wilcoxon", "median", "none"]),
    default="wilcoxon",
    show_default=True,
    help="Ends a trial early: after an inner fold, or (median) after an epoch.",
)
@click.option(
    "--prune-below",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.1,
    show_default=True,
    metavar="P",
    help="Of the Wilcoxon test against the best trial.",
)
@click.option(
    "--flat",
    is_flag=True,
    help="One cheap search on all cases; the result is marked as selected on these data.",
)
@click.option(
    "--storage",
    metavar="URL",
    help="Database for many machines, such as postgresql+psycopg://host/name; by default a "
    "SQLite file in the run's folder.",
)
@click.option(
    "--heartbeat",
    type=click.IntRange(1),
    default=15,
    show_default=True,
    metavar="SECONDS",
    help="Between two signs of life; a trial silent for four times as long is tried again.",
)
@execution_options
@click.option(
    "--show",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    is_eager=True,
    expose_value=False,
    callback=_show,
    metavar="RUN",
    help="Show what a tuned run found, and end.",
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
    dry_run: bool,
) -> None:
    """Find good hyperparameters without looking at the folds that judge them.

    Values of specs and of --set may be search spaces: uniform(low=0, high=5), loguniform,
    integer(low=1, high=8), choice(among=("mean", "sum")). A bare name is searched where its
    component says. In each outer fold, inner folds made of its training part choose; the outer fold
    only scores the winner.

    The same command again continues; started twice at once, the two share the work. Ctrl-C ends
    after the trainings that run, a second one at once.

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
    with counter("preparing", "case") as on_case:
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
        )
    if dry_run:
        click.echo(describe_tuning(tuning, out / (name or tuning.plan.experiment.name)))
        return
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
            callback=progress,
            stopped=lambda: bool(asked),
        )
    if outcome.stopped:
        click.echo("volbench: interrupted; the same command continues", err=True)
        raise click.exceptions.Exit(INTERRUPTED)
    page = write_page(outcome.path)
    click.echo(show_tuning(outcome.path), nl=False)
    click.echo(f"plots: {page}\ncompare with: volbench compare {outcome.path.parent}")
    if outcome.errors:
        raise click.exceptions.Exit(FOLD_FAILED)


@contextmanager
def _patience() -> Iterator[list[int]]:
    """Note the first Ctrl-C instead of obeying it; a second one is obeyed."""
    asked: list[int] = []

    def note(number: int, frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        click.echo("\nending after the trainings that run; Ctrl-C again ends now", err=True)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
