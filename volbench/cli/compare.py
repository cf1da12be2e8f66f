"""`volbench compare`: runs on the same data and split, in one table."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from volbench.leaderboard.show import Format


@click.command("compare")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[RUN|FOLDER]...")
@click.option("--sort", default="auc", show_default=True, help="Metric or column to sort by.")
@click.option(
    "--format",
    "style",
    type=click.Choice(["table", "md", "csv", "json"]),
    default="table",
    show_default=True,
    help="How the table is written.",
)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file.")
@click.option(
    "--reference",
    metavar="NAME",
    help="Published results to show beside: medmnist3d or rectal2022.",
)
def command(
    paths: tuple[Path, ...], sort: str, style: "Format", output: Path | None, reference: str | None
) -> None:
    """Show runs in a table: all in runs/, or those named.

    Runs on other data or other folds get a table of their own; named together they are refused,
    because their numbers cannot be compared.
    """
    import sys

    from volbench.errors import StateError, UsageError
    from volbench.leaderboard import comparable, find_runs, load_run
    from volbench.leaderboard.reference import load_reference
    from volbench.leaderboard.show import show
    from volbench.leaderboard.table import sort_keys

    published = load_reference(reference) if reference else None
    found = find_runs(paths or (Path("runs"),))
    runs = [load_run(path) for path in found]
    groups = list(comparable(runs).values())
    if len(groups) > 1 and set(found) <= set(paths):
        first, second = groups[0][0], groups[1][0]
        what = "data" if first.protocol[0] != second.protocol[0] else "folds"
        raise StateError(
            f"{first.name} and {second.name} were run on different {what}; their numbers cannot be "
            "compared. Name runs of the same data and folds, or the folder that holds them"
        )
    known = sort_keys(runs)
    if sort not in known:
        raise UsageError(f"--sort {sort!r} is not a column; one of {', '.join(known)}")
    text = show(
        groups,
        style,
        sort=sort,
        reference=published,
        color=output is None and sys.stdout.isatty(),
    )
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
