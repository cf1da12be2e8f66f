"""`volbench run`: cross-validate one combination of encoder, aggregator and loss."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from volbench.cli.executor import open_executor
from volbench.cli.options import (
    check_name,
    execution_options,
    experiment_options,
    local_copy_option,
    on_option,
)

if TYPE_CHECKING:
    from typing import Literal

    from volbench.crossval import Plan
    from volbench.experiment.experiment import Level, Precision
    from volbench.training.compile import Compile
    from volbench.training.graphs import Graphs

FOLD_FAILED = 1


@click.command("run")
@experiment_options
@click.option(
    "--fold",
    "only",
    multiple=True,
    type=click.IntRange(0),
    help="Train only this fold; repeatable.",
)
@click.option(
    "--tabular",
    metavar="COLUMN,...",
    help="Clinical columns of the data set: also score them alone, and fused with the network.",
)
@execution_options
@click.option(
    "--compile",
    "compiled",
    type=click.Choice(["auto", "on", "off"]),
    default="auto",
    show_default=True,
    help="Compile the encoder with torch.compile; auto: no, as recorded steps are faster.",
)
@click.option(
    "--graphs",
    type=click.Choice(["auto", "on", "off"]),
    default="auto",
    show_default=True,
    help="Record training steps as CUDA graphs; auto: on a GPU. The numbers are the same.",
)
@on_option
@local_copy_option
@click.option(
    "--features",
    type=click.Choice(["auto", "off"]),
    default="auto",
    show_default=True,
    help="Compute the tokens of a frozen encoder once; off: anew in every epoch.",
)
@click.option(
    "--profile", is_flag=True, help="Report training time by section and the share of the roofline."
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
    only: tuple[int, ...],
    tabular: str | None,
    seed: int,
    allow_duplicates: bool,
    device: str,
    precision: "Precision",
    jobs: int | None,
    name: str | None,
    out: Path,
    checkpoint_seconds: float,
    on: str,
    dry_run: bool,
    compiled: "Compile",
    graphs: "Graphs",
    features: "Literal['auto', 'off']",
    local_copy: Path | None,
    profile: bool,
) -> None:
    """Cross-validate one encoder, aggregator and loss.

    Rerun the same command to resume an interrupted run: finished folds are kept, an interrupted
    fold continues from its last checkpoint, a failed fold is retried.

    \b
    volbench run --encoder rmc5 --agg bilinear --loss focal+triplet
    volbench run --encoder r2d --agg average --loss focal --data my/manifest.csv
    volbench run --encoder rmc5 --agg bilinear --loss focal --on 'slurm(gpus=1)'
    volbench run --encoder rmc5 --agg average --loss focal --data my/manifest.csv --tabular age,sex
    """
    check_name(name)
    from volbench.cli.progress.counter import counter
    from volbench.cli.progress.training import TrainingProgress
    from volbench.crossval import make_plan, run
    from volbench.crossval.opened import asked_folds, describe_tasks
    from volbench.crossval.run import EXECUTOR
    from volbench.crossval.settings import RunSettings
    from volbench.crossval.tabular import column_names

    with counter("preparing", "cases") as on_case:
        plan = make_plan(
            encoder=encoder,
            aggregator=aggregator,
            loss=loss,
            data=data,
            level=level,
            recipe=recipe,
            overrides=overrides,
            folds=folds,
            seed=seed,
            precision=precision,
            tabular=() if tabular is None else column_names(tabular),
            jobs=jobs,
            on_case=on_case,
            allow_duplicates=allow_duplicates,
        )
    path = out / (name or plan.experiment.name)
    with open_executor(on, path) as executor:
        if dry_run:
            _show_plan(plan, path, device)
            if executor is not None:
                asked = asked_folds(plan, only or None)
                settings = RunSettings(device=device, jobs=jobs, profile=profile)
                tasks = describe_tasks(plan, path, asked, settings, executor)
                click.echo(executor.describe(tasks, path / EXECUTOR))
            return
        with TrainingProgress() as progress:
            outcome = run(
                plan,
                out=out,
                name=name,
                folds=only or None,
                device=device,
                jobs=jobs,
                checkpoint_seconds=checkpoint_seconds,
                compiled=compiled,
                graphs=graphs,
                features=features,
                local_copy=local_copy,
                profile=profile,
                callback=progress,
                executor=executor,
            )
    progress.summarise(outcome)
    if profile:
        from volbench.cli.profile_table import show_profile

        show_profile(outcome)
    if any(each.failed for each in (outcome, *outcome.tabular)):
        raise click.exceptions.Exit(FOLD_FAILED)


def _show_plan(plan: "Plan", path: Path, device: str) -> None:
    """Try every component on a few cases, then print the plan and what it will cost."""
    from volbench.cli.progress.plan import describe_plan
    from volbench.crossval.trial import try_plan

    click.echo("trying every component on a few cases", err=True)
    click.echo(describe_plan(plan, path, try_plan(plan, device=device)))
