"""`volbench run`: cross-validate one combination of encoder, aggregator and loss."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from volbench._utils.fork_server import begin_imports
from volbench._utils.text import command_line
from volbench.cli.executor import open_executor
from volbench.cli.options import (
    check_name,
    execution_options,
    experiment_options,
    local_copy_option,
    on_option,
    track_option,
)
from volbench.cli.output import echo_curves
from volbench.cli.variants import variant_options

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    from volbench.crossval.open_run import Outcome
    from volbench.crossval.plan import Plan
    from volbench.crossval.settings import RunSettings
    from volbench.experiment.experiment import Level, Precision
    from volbench.interfaces import Executor
    from volbench.training.compile import Compile
    from volbench.training.cuda_graphs import Graphs

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
@variant_options
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
@track_option
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
    repeats: int,
    seeds: int,
    shares: tuple[float, ...],
    permuted: bool,
    device: str,
    precision: "Precision",
    jobs: int | None,
    name: str | None,
    out: Path,
    checkpoint_seconds: float,
    on: str,
    track: tuple[str, ...],
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
    volbench run --encoder rmc5 --agg average --loss focal --repeats 3
    """
    check_name(name)
    if on == "local" and not dry_run and jobs != 1 and len(only) != 1:
        begin_imports()
    from volbench.cli.progress.counter import counter
    from volbench.crossval.plan import make_plan
    from volbench.crossval.settings import RunSettings
    from volbench.crossval.shared_inputs import Shared
    from volbench.crossval.variants import variants

    shared = Shared()
    plans: dict[Path, Plan] = {}
    for variant in variants(
        seed=seed, folds=folds, repeats=repeats, seeds=seeds, train_shares=shares
    ):
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
                seed=variant.seed,
                folds_seed=variant.folds_seed,
                precision=precision,
                tabular=() if tabular is None else _column_names(tabular),
                permuted=permuted,
                train_share=variant.train_share,
                jobs=jobs,
                on_case=on_case,
                allow_duplicates=allow_duplicates,
                shared=shared,
            )
        plans[out / variant.named(name or plan.experiment.name, given=name is not None)] = plan
    settings = RunSettings(
        device=device,
        jobs=jobs,
        checkpoint_seconds=checkpoint_seconds,
        compiled=compiled,
        graphs=graphs,
        profile=profile,
        features=features,
        local_copy=local_copy,
        track=track,
    )
    if dry_run:
        _show_plans(plans, only, settings, on)
        return
    compare = command_line("volbench", "compare", out, *["--repeats"] * (max(repeats, seeds) > 1))
    outcomes = _train(plans, only, settings, on, compare)
    if profile:
        from volbench.cli.profile_table import show_profile

        for outcome in outcomes:
            show_profile(outcome)
    echo_curves(track)
    if any(each.failed for outcome in outcomes for each in (outcome, *outcome.tabular)):
        raise click.exceptions.Exit(FOLD_FAILED)


def _column_names(text: str) -> tuple[str, ...]:
    from volbench.crossval.tabular import column_names  # scikit-learn, which other runs need later

    return column_names(text)


def _show_plans(
    plans: "Mapping[Path, Plan]", only: tuple[int, ...], settings: "RunSettings", on: str
) -> None:
    """Try every component on a few cases, then print the plans and what the first will cost."""
    from volbench.cli.progress.plan import describe_plan
    from volbench.crossval.dry_run import try_plan
    from volbench.crossval.open_run import asked_folds, describe_tasks
    from volbench.crossval.settings import EXECUTOR

    first = next(iter(plans))
    for plan in plans.values():
        asked_folds(plan, only or None)
    click.echo("trying every component on a few cases", err=True)
    cost = try_plan(plans[first], device=settings.device)
    with open_executor(on, first) as executor:
        for path, plan in plans.items():
            click.echo(describe_plan(plan, path, cost))
        if executor is not None:
            tasks = [
                task
                for path, plan in plans.items()
                for task in describe_tasks(
                    plan, path, asked_folds(plan, only or None), settings, executor
                )
            ]
            click.echo(executor.describe(tasks, first / EXECUTOR))


def _train(
    plans: "Mapping[Path, Plan]",
    only: tuple[int, ...],
    settings: "RunSettings",
    on: str,
    compare: str,
) -> "list[Outcome]":
    """Train the runs one after another here, or all their folds as tasks of one executor."""
    first = next(iter(plans))
    with open_executor(on, first) as executor:
        if executor is not None and len(plans) > 1:
            return _train_together(plans, only, settings, executor, compare)
        return _train_in_turn(plans, only, settings, executor, compare)


def _train_in_turn(
    plans: "Mapping[Path, Plan]",
    only: tuple[int, ...],
    settings: "RunSettings",
    executor: "Executor | None",
    compare: str,
) -> "list[Outcome]":
    from volbench.cli.progress.training import TrainingProgress
    from volbench.crossval.run_cross_validation import run
    from volbench.executors.pool import Workers

    outcomes = []
    *_, last = plans
    with Workers() as workers:  # which are not started anew for each run
        for path, plan in plans.items():
            with TrainingProgress() as progress:
                outcome = run(
                    plan,
                    out=path.parent,
                    name=path.name,
                    folds=only or None,
                    callback=progress,
                    workers=workers,
                    executor=executor,
                    **vars(settings),
                )
            progress.summarise(outcome, compare=compare if path == last else None)
            outcomes.append(outcome)
    return outcomes


def _train_together(
    plans: "Mapping[Path, Plan]",
    only: tuple[int, ...],
    settings: "RunSettings",
    executor: "Executor",
    compare: str,
) -> "list[Outcome]":
    from volbench.cli.progress.together import TogetherProgress, finished_folds
    from volbench.cli.progress.training import outcome_lines
    from volbench.crossval.run_cross_validation import Member, run_together
    from volbench.crossval.settings import EXECUTOR
    from volbench.errors import VolbenchError

    first = next(iter(plans))
    total = sum(len(only) or len(plan.split.folds) for plan in plans.values())
    done = sum(len(finished_folds(path, only)) for path in plans)
    with TogetherProgress(total=total, done=done) as board:
        members = [
            Member(plan, path, board.of(path.name), only or None) for path, plan in plans.items()
        ]
        ended = run_together(members, executor, first / EXECUTOR, settings)
    outcomes = []
    for outcome in ended:
        if isinstance(outcome, VolbenchError):
            raise outcome
        click.echo("\n".join(outcome_lines(outcome)))
        outcomes.append(outcome)
    click.echo(f"compare with: {compare}")
    return outcomes
