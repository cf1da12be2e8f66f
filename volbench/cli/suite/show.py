"""`volbench suite show`: tables of a suite, finished or not."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from volbench.cli.output import chosen_format, emit, output_options

if TYPE_CHECKING:
    from volbench.suite.show_suite import Style

FORMATS = ("table", "md", "json")


@click.command("show")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--scale", metavar="NAME", help="Scale that was run.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the suite's runs; default: runs/<suite>-<scale>.",
)
@output_options(*FORMATS)
def command(
    file: Path, scale: str | None, out: Path | None, style: "Style | None", output: Path | None
) -> None:
    """Show the tables of a suite with the results so far.

    Experiments that were not run, or that failed, are rows too. Of a suite over several data
    sets, one answer over all of them follows the tables of each.

    \b
    volbench suite show benchmarks/rectal2022/paper.toml --scale small
    """
    import sys

    from volbench.suite import load_suites, show_suites

    suites = load_suites(file, scale=scale)
    color = output is None and sys.stdout.isatty()
    shown = cast("Style", chosen_format(style, output, FORMATS))
    emit(show_suites(suites, out=out, style=shown, color=color), output)
