"""`volbench data check`: read every volume and list all problems."""

import os
import tempfile
from pathlib import Path

import click

from volbench._utils.atomic_io import write_atomic
from volbench._utils.text import plural, printable

SHOWN = 10
"""Problems that are printed; a file has all of them."""


@click.command("check")
@click.argument("data")
@click.option("--jobs", type=click.IntRange(1), help="Reader processes; default: one per core.")
def command(data: str, jobs: int | None) -> None:
    """Read every volume and list all problems.

    DATA is a manifest.csv or the spec of a data set. The exit code is 3 if there are problems;
    warnings and notes do not count.
    """
    from volbench._utils.cpu import available_cores
    from volbench.cli.progress.counter import counter
    from volbench.data.sources import open_dataset
    from volbench.data.validation.check import check
    from volbench.datasets.manifest import ManifestError
    from volbench.errors import DataError

    try:
        dataset, spec = open_dataset(data)
    except ManifestError as error:
        _list_problems(error.problems)
        raise DataError(
            f"{data}: {plural(len(error.problems), 'problem')}; no volume was read"
        ) from None
    with counter("reading", "cases") as on_case:
        report = check(dataset, jobs=jobs or available_cores(), on_case=on_case)
    patients = {one.case.patient for one in report.surveyed}
    click.echo(f"{spec}: {len(report.surveyed)} cases of {len(patients)} patients")
    for note in report.notes:
        click.echo(f"note: {printable(note)}")
    for warning in report.warnings:
        click.echo(f"warning: {printable(warning)}")
    _list_problems(report.problems)
    if not report.clean:
        raise DataError(
            f"{data}: {plural(len(report.problems), 'problem')}; correct or remove these cases"
        )
    click.echo("clean: every volume is whole and fits its data set")


def _list_problems(problems: tuple[str, ...]) -> None:
    for problem in problems[:SHOWN]:
        click.echo(f"problem: {printable(problem)}")
    if len(problems) > SHOWN:
        path = Path(tempfile.gettempdir()) / f"volbench-problems-{os.getpid()}.txt"
        write_atomic(path, "".join(f"{printable(problem)}\n" for problem in problems))
        click.echo(f"and {plural(len(problems) - SHOWN, 'problem')} more; all of them: {path}")
