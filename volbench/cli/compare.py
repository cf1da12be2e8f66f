"""`volbench compare`: which run is better, and whether that can be believed."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from volbench.evaluation import Unit
    from volbench.leaderboard.render.show import Format


@click.command("compare")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[RUN|FOLDER]...")
@click.option("--sort", default="auc", show_default=True, help="Metric or column to sort by.")
@click.option(
    "conditions",
    "--where",
    multiple=True,
    metavar="KEY=PATTERN",
    help="Only these runs, e.g. encoder=rmc5 or loss=focal*; keys are encoder, aggregator, loss, "
    "level, recipe, data, run and seed. May be repeated.",
)
@click.option(
    "--against", metavar="RUN", help="Show pairs with this run, not with the one of the best AUC."
)
@click.option(
    "--pairs",
    type=click.Choice(["against", "all"]),
    default="against",
    show_default=True,
    help="Which pairs to show; csv and json hold all.",
)
@click.option(
    "--unit",
    type=click.Choice(["case", "slice", "patient"]),
    help="What is scored: by default what the runs predict; cases if that differs.",
)
@click.option(
    "--threshold",
    default="0.5",
    show_default=True,
    metavar="T",
    help="A number; or youden, specificity=0.9, sensitivity=0.9, chosen on the inner validation "
    "part of each fold.",
)
@click.option(
    "--metrics", metavar="NAME,...", help="Metrics to show, e.g. auc,brier,balanced_accuracy."
)
@click.option(
    "columns",
    "--by",
    multiple=True,
    metavar="STRATUM",
    help="Also AUC by site, scanner, slice_mm, ...: a column of cases.csv. May be repeated.",
)
@click.option(
    "--ddof",
    type=click.IntRange(0, 1),
    default=1,
    show_default=True,
    help="Standard deviation over folds: 1 of a sample, 0 of a population, as in some papers.",
)
@click.option("--repeats", is_flag=True, help="Put runs that differ in the seed only into one row.")
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the bootstrap."
)
@click.option(
    "style",
    "--format",
    type=click.Choice(["table", "md", "csv", "json", "latex", "html"]),
    help="How it is written; by default as the suffix of --output says, else a table.",
)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file.")
@click.option(
    "--reference",
    metavar="NAME",
    help="Published results to show beside: medmnist3d or rectal2022.",
)
def command(
    paths: tuple[Path, ...],
    sort: str,
    conditions: tuple[str, ...],
    against: str | None,
    pairs: str,
    unit: "Unit | None",
    threshold: str,
    metrics: str | None,
    columns: tuple[str, ...],
    ddof: int,
    repeats: bool,
    seed: int,
    style: "Format | None",
    output: Path | None,
    reference: str | None,
) -> None:
    """Say which run is better, and whether that can be believed: all in runs/, or those named.

    Rows that share a letter cannot be told apart. Pairs are tested fold by fold on the AUC (a
    corrected t-test, Holm). Runs on other data or other folds get a table of their own; named
    together they are refused, because their numbers cannot be compared.

    \b
    volbench compare
    volbench compare runs/a runs/b --threshold youden
    volbench compare --where encoder=rmc* --by site --output table.html
    """
    import sys

    from volbench._utils.atomic_io import write_atomic
    from volbench.leaderboard import compare_runs, find_runs, load_run, tables_of
    from volbench.leaderboard.published.references import load_reference
    from volbench.leaderboard.render.show import show, style_of
    from volbench.leaderboard.selection import (
        check_against,
        check_metrics,
        check_named_together,
        where,
    )
    from volbench.leaderboard.statistics.strata import by_stratum

    style = style_of(output, style)
    published = load_reference(reference) if reference else None
    found = find_runs(paths or (Path("runs"),))
    runs = where([load_run(path) for path in found], conditions)
    names = check_metrics(metrics, runs) if metrics is not None else None
    other = check_against(against, runs) if against is not None else None
    tables = tables_of(runs, repeats=repeats)
    if set(found) <= set(paths):
        check_named_together(tables)
    compared = [
        compare_runs(
            table,
            unit=unit,
            threshold=threshold,
            sort=sort,
            against=other,
            ddof=ddof,
            repeats=repeats,
            seed=seed,
        )
        for table in tables
    ]
    text = show(
        compared,
        style,
        metrics=names,
        all_pairs=pairs == "all",
        strata=[[by_stratum(each, column) for column in columns] for each in compared],
        reference=published,
        color=output is None and sys.stdout.isatty(),
    )
    if output is None:
        click.echo(text, nl=False)
    else:
        write_atomic(output, text)
