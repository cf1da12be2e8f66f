"""`volbench run`: train and score one candidate over all folds."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from volbench.experiment import Level, Precision

FOLD_FAILED = 1


@click.command("run")
@click.option("--encoder", required=True, metavar="SPEC", help="Volume to one token per slice.")
@click.option("--agg", "aggregator", metavar="SPEC", help="Tokens to one vector per case.")
@click.option("--loss", required=True, metavar="SUM", help="Such as focal(gamma=2)+0.5*triplet.")
@click.option(
    "--data",
    default="phantom",
    show_default=True,
    metavar="DATA",
    help="A data set's spec, a manifest.csv or a prepared folder.",
)
@click.option(
    "--level",
    type=click.Choice(["volume", "slice"]),
    default="volume",
    show_default=True,
    help="One prediction per case, or per representative slice.",
)
@click.option(
    "--recipe",
    default="standard",
    show_default=True,
    metavar="NAME|FILE",
    help="How to train; volbench list recipes.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a key of the recipe, as in training.epochs=30; repeatable.",
)
@click.option(
    "--folds",
    default="10",
    show_default=True,
    metavar="N|official|FILE",
    help="Number of folds, the data's own split, or a CSV with case,fold.",
)
@click.option(
    "--fold", "only", multiple=True, type=click.IntRange(0), help="Do this fold only; repeatable."
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    help="Every random number follows from it, the folds too.",
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
@click.option("--name", help="Folder in --out; by default named after the experiment.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="Folder of runs.",
)
@click.option(
    "--checkpoint-seconds",
    type=click.FloatRange(0),
    default=30.0,
    show_default=True,
    help="Shortest time between two checkpoints of a fold.",
)
@click.option("--dry-run", is_flag=True, help="Check everything, show the plan, train nothing.")
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
    seed: int,
    device: str,
    precision: "Precision",
    jobs: int | None,
    name: str | None,
    out: Path,
    checkpoint_seconds: float,
    dry_run: bool,
) -> None:
    """Train and score one candidate over all folds.

    The same command again continues: finished folds are kept, a fold cut off goes on from its last
    checkpoint, a failed one is tried again.

    \b
    volbench run --encoder rmc5 --agg bilinear --loss focal+triplet
    volbench run --encoder r2d --agg average --loss focal --data my/manifest.csv
    """
    if name is not None and (not name or "/" in name or name in (".", "..")):
        raise click.UsageError(f"--name {name!r} is not a folder name; use --out for the folder")
    from volbench.benchmark import make_plan, run
    from volbench.cli.progress import counter
    from volbench.cli.training_progress import TrainingProgress, describe_plan

    with counter("preparing", "case") as on_case:
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
            jobs=jobs,
            on_case=on_case,
        )
    if dry_run:
        click.echo(describe_plan(plan, out / (name or plan.experiment.name)))
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
            watcher=progress,
        )
    progress.summarise(outcome)
    if outcome.failed:
        raise click.exceptions.Exit(FOLD_FAILED)
