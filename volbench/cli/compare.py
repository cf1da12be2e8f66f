"""`volbench compare`: leaderboard with confidence intervals and significance tests."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from volbench.cli.output import emit, output_options

if TYPE_CHECKING:
    from volbench._utils.output_formats import Format
    from volbench.evaluation.items import Unit
    from volbench.leaderboard import Comparison


@click.command("compare")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[RUN|FOLDER]...")
@click.option(
    "--sort",
    default="auc",
    show_default=True,
    metavar="COLUMN",
    help="Metric or column to sort by.",
)
@click.option(
    "conditions",
    "--where",
    multiple=True,
    metavar="KEY=PATTERN",
    help="Filter runs, e.g. encoder=rmc5 or loss=focal*; keys: encoder, aggregator, loss, level, "
    "recipe, data, run, seed; repeatable.",
)
@click.option(
    "--against",
    metavar="RUN",
    help="Baseline of the paired comparisons; default: the run with the best AUC.",
)
@click.option(
    "--pairs",
    type=click.Choice(["against", "all"]),
    default="against",
    show_default=True,
    help="Pairs to show: with the baseline, or all; CSV and JSON hold all.",
)
@click.option(
    "--unit",
    type=click.Choice(["case", "slice", "patient"]),
    help="Unit of scoring; default: the prediction unit of the runs, cases if they differ.",
)
@click.option(
    "--threshold",
    default="0.5",
    show_default=True,
    metavar="T",
    help="Decision threshold: a number, or youden, specificity=0.9, sensitivity=0.9, chosen on "
    "the inner validation split of each fold.",
)
@click.option(
    "--metrics", metavar="NAME,...", help="Metrics to show, e.g. auc,brier,balanced_accuracy."
)
@click.option(
    "columns",
    "--by",
    multiple=True,
    metavar="STRATUM",
    help="Subgroup AUC by a column of cases.csv: site, scanner, slice_mm, ...; repeatable.",
)
@click.option(
    "--per-class", is_flag=True, help="Also confusion matrix, recall and AUC of each class."
)
@click.option(
    "--ddof",
    type=click.IntRange(0, 1),
    default=1,
    show_default=True,
    help="Degrees of freedom of the standard deviation over folds: 1 sample, 0 population.",
)
@click.option(
    "test",
    "--test",
    type=click.Choice(["combined", "corrected-t"]),
    default="combined",
    show_default=True,
    help="Over folds: the cross-validated z-test, or Nadeau and Bengio's corrected t-test.",
)
@click.option(
    "--repeats", is_flag=True, help="Pool runs that differ only in the seed into one row."
)
@click.option(
    "--over-datasets",
    is_flag=True,
    help="One answer over several data sets, as table, md or json, in place of one table each.",
)
@click.option(
    "--across-inputs",
    is_flag=True,
    help="One table for runs on other images of the same patients in the same folds; runs named "
    "one by one are compared so anyhow.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    help="Random seed of the bootstrap.",
)
@output_options("table", "md", "csv", "json", "latex", "html")
@click.option(
    "--reference",
    metavar="NAME",
    help="Published results shown alongside: medmnist3d or rectal2022.",
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
    per_class: bool,
    ddof: int,
    test: Literal["combined", "corrected-t"],
    repeats: bool,
    over_datasets: bool,
    across_inputs: bool,
    seed: int,
    style: "Format | None",
    output: Path | None,
    reference: str | None,
) -> None:
    """Compare runs: leaderboard, intervals, significance tests.

    Compares all runs in runs/, or those given. Rows that share a letter do not differ
    significantly: pairs of runs are tested within folds on the AUC (cross-validated z-test,
    Holm-adjusted). Runs on different data or folds are shown in separate tables; given together
    by name they are refused, because their numbers are not comparable. Other images of the same
    patients in the same folds are compared, and a line says what differs.

    \b
    volbench compare
    volbench compare runs/a runs/b --threshold youden
    volbench compare --where encoder=rmc* --by site --output table.html
    """
    import sys

    from volbench._utils.text import printable
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
    named = set(found) <= set(paths) and not over_datasets
    tables = tables_of(runs, repeats=repeats, across_inputs=across_inputs or named)
    if named:
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
            test="combined" if test == "combined" else "corrected_t",
        )
        for table in tables
    ]
    if over_datasets:
        emit(_over_data_sets(compared, style, color=output is None and sys.stdout.isatty()), output)
        return
    text = show(
        compared,
        style,
        metrics=names,
        all_pairs=pairs == "all",
        strata=[[by_stratum(each, column) for column in columns] for each in compared],
        reference=published,
        color=output is None and sys.stdout.isatty(),
        per_class=per_class,
    )
    if style in ("csv", "json") and output is None and sys.stdout.isatty():
        text = printable(text, keep="\r\n")  # tables are already; a file or a pipe gets it as it is
    emit(text, output)


def _over_data_sets(compared: "list[Comparison]", style: str, *, color: bool) -> str:
    import json
    from functools import partial

    from volbench.leaderboard.render.over_datasets import over_json, over_tables
    from volbench.leaderboard.render.terminal import markdown, terminal
    from volbench.leaderboard.statistics.over_datasets import compare_over_data_sets

    if style not in ("table", "md", "json"):
        raise click.UsageError(f"--over-datasets is written as table, md or json, not as {style}")
    overall = compare_over_data_sets(compared)
    if style == "json":
        return json.dumps(over_json(overall), indent=2, ensure_ascii=False) + "\n"
    draw = markdown if style == "md" else partial(terminal, color=color)
    return "\n".join(draw(part.title, part.cells, part.notes) for part in over_tables(overall))
