"""`volbench suite run`: run all experiments of a suite file."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from volbench._utils.text import command_line
from volbench.cli.executor import open_executor
from volbench.cli.options import (
    device_option,
    dry_run_option,
    duplicates_option,
    jobs_option,
    local_copy_option,
    on_option,
    precision_option,
    track_option,
)
from volbench.cli.output import echo_curves
from volbench.cli.variants import variant_options

if TYPE_CHECKING:
    from volbench.experiment.experiment import Precision
    from volbench.suite import Suite

EXPERIMENT_FAILED = 1


@click.command("run")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--scale", metavar="NAME", help="Scale defined in the file: a set of data and settings."
)
@click.option(
    "--data",
    metavar="DATA",
    help="Data set instead of the file's: a spec, a manifest.csv or a prepared folder.",
)
@click.option("--recipe", metavar="NAME|FILE", help="Recipe instead of all recipes of the file.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a key of all recipes, e.g. training.epochs=3; repeatable.",
)
@click.option("--folds", metavar="N|official|FILE", help="Folds instead of the file's.")
@click.option("--seed", type=click.IntRange(0), help="Random seed instead of the file's.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Output folder of the runs; default: runs/<suite>-<scale>.",
)
@click.option(
    "--race",
    is_flag=True,
    help="Interleave the folds of all experiments; stop what is shown worse, or is settled.",
)
@variant_options
@device_option
@precision_option
@jobs_option
@on_option
@local_copy_option
@track_option
@duplicates_option
@dry_run_option
def command(
    file: Path,
    scale: str | None,
    data: str | None,
    recipe: str | None,
    overrides: tuple[str, ...],
    folds: str | None,
    seed: int | None,
    out: Path | None,
    race: bool,
    repeats: int,
    seeds: int,
    shares: tuple[float, ...],
    permuted: bool,
    device: str,
    precision: "Precision",
    jobs: int | None,
    on: str,
    local_copy: Path | None,
    track: tuple[str, ...],
    allow_duplicates: bool,
    dry_run: bool,
) -> None:
    """Run all experiments of a suite file.

    An experiment that cannot be planned, or whose folds fail, is kept as a row with its error, and
    the others continue. Rerun the same command to resume: finished folds are kept. With --on, all
    folds of all experiments are submitted to one executor, and the same command attaches again.
    A suite may name several data sets; each has a folder of runs.

    \b
    volbench suite run benchmarks/rectal2022/table4.toml --scale small
    volbench suite run my/suite.toml --data my/manifest.csv
    volbench suite run my/suite.toml --on 'slurm(gpus=1)'
    volbench suite run my/suite.toml --race
    volbench suite run my/suite.toml --repeats 3
    """
    from volbench.cli.progress.counter import counter
    from volbench.cli.progress.suite import SuiteProgress, describe_suite
    from volbench.crossval.settings import EXECUTOR
    from volbench.crossval.variants import variants
    from volbench.suite import load_suites, plan_suite, run_suite
    from volbench.suite.run_suite import describe_suite_tasks

    suites = load_suites(
        file,
        scale=scale,
        data=data,
        recipe=recipe,
        overrides=overrides,
        folds=folds,
        seed=seed,
    )
    if permuted and out is None:
        first = suites[0]
        top = first.out.parent if first.part else first.out
        out = top.with_name(f"permuted-{top.name}")

    def run_one(suite: "Suite") -> bool:
        """Run it on its data set; return whether something failed."""
        asked = variants(
            seed=0, folds=suite.folds, repeats=repeats, seeds=seeds, train_shares=shares
        )
        place = suite.place(out)
        with counter("preparing", "cases") as on_case:
            planned = plan_suite(
                suite,
                precision=precision,
                jobs=jobs,
                on_case=on_case,
                allow_duplicates=allow_duplicates,
                variants=asked,
                permuted=permuted,
            )
        with open_executor(on, place) as executor:
            if dry_run:
                click.echo(describe_suite(suite, planned, place))
                if executor is not None:
                    tasks = describe_suite_tasks(planned, place, executor, device=device, jobs=jobs)
                    click.echo(executor.describe(tasks, place / EXECUTOR))
                return any(each.plan is None for each in planned)
            with SuiteProgress(suite) as progress:
                results = run_suite(
                    suite,
                    planned=planned,
                    out=place,
                    device=device,
                    jobs=jobs,
                    local_copy=local_copy,
                    callback=progress,
                    executor=executor,
                    race=race,
                    track=track,
                )
            progress.summarise(results, out, asked)
            return any(result.error is not None for result in results)

    failed = [run_one(suite) for suite in suites]
    if len(suites) > 1 and not dry_run:
        options = [*(["--scale", scale] if scale else []), *(["--out", out] if out else [])]
        show = command_line("volbench", "suite", "show", file, *options)
        click.echo(f"{show} compares over all {len(suites)} data sets.")
    if not dry_run:
        echo_curves(track)
    if any(failed):
        raise click.exceptions.Exit(EXPERIMENT_FAILED)
