"""`volbench suite run`: train and score every experiment of a file."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from volbench.experiment.experiment import Precision

EXPERIMENT_FAILED = 1


@click.command("run")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--scale", metavar="NAME", help="One of the file's scales: its data and settings.")
@click.option(
    "--data", metavar="DATA", help="In place of the file's: a spec, a manifest, a folder."
)
@click.option("--recipe", metavar="NAME|FILE", help="In place of every recipe of the file.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a key of every recipe, as in training.epochs=3; repeatable.",
)
@click.option("--folds", metavar="N|official|FILE", help="In place of the file's.")
@click.option("--seed", type=click.IntRange(0), help="In place of the file's.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the runs; by default runs/<suite>-<scale>.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="auto",
    show_default=True,
    help="auto: bfloat16 on CUDA and on CPUs with instructions for it, else float32.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    help="Folds at a time; by default one per core on a CPU, one on a GPU.",
)
@click.option("--dry-run", is_flag=True, help="Check everything, show the plan, train nothing.")
def command(
    file: Path,
    scale: str | None,
    data: str | None,
    recipe: str | None,
    overrides: tuple[str, ...],
    folds: str | None,
    seed: int | None,
    out: Path | None,
    device: str,
    precision: "Precision",
    jobs: int | None,
    dry_run: bool,
) -> None:
    """Train and score every experiment of a file; what is finished is kept.

    An experiment that cannot be planned, or whose folds fail, is kept as a row with its reason, and
    the others go on. The same command again does what is missing.

    \b
    volbench suite run benchmarks/rectal2022/table4.toml --scale small
    volbench suite run my/suite.toml --data my/manifest.csv
    """
    from volbench.cli.progress.counter import counter
    from volbench.cli.progress.suite import SuiteProgress, describe_suite
    from volbench.suite import load_suite, plan_suite, run_suite

    suite = load_suite(
        file,
        scale=scale,
        data=data,
        recipe=recipe,
        overrides=overrides,
        folds=folds,
        seed=seed,
    )
    with counter("preparing", "case") as on_case:
        planned = plan_suite(suite, precision=precision, jobs=jobs, on_case=on_case)
    if dry_run:
        click.echo(describe_suite(suite, planned, out or suite.out))
        failed = any(each.plan is None for each in planned)
    else:
        with SuiteProgress(suite) as progress:
            results = run_suite(
                suite, planned=planned, out=out, device=device, jobs=jobs, callback=progress
            )
        progress.summarise(results, out)
        failed = any(result.error is not None for result in results)
    if failed:
        raise click.exceptions.Exit(EXPERIMENT_FAILED)
