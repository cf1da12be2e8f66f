"""`volbench suite show`: tables of a suite, finished or not."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from volbench.suite.show_suite import Style


@click.command("show")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--scale", metavar="NAME", help="Scale that was run.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the suite's runs; default: runs/<suite>-<scale>.",
)
@click.option(
    "--format",
    "style",
    type=click.Choice(["table", "md"]),
    default="table",
    show_default=True,
    help="Output format.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Output file; default: the terminal.",
)
def command(
    file: Path, scale: str | None, out: Path | None, style: "Style", output: Path | None
) -> None:
    """Show the tables of a suite with the results so far.

    Experiments that were not run, or that failed, are rows too.

    \b
    volbench suite show benchmarks/rectal2022/paper.toml --scale small
    """
    import sys

    from volbench.suite import load_suite, show_suite

    suite = load_suite(file, scale=scale)
    color = output is None and sys.stdout.isatty()
    text = show_suite(suite, out=out, style=style, color=color)
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
