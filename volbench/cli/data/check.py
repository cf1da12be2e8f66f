"""`volbench data check`: read every volume and list all problems."""

import os
import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from volbench._utils.atomic_io import write_atomic
from volbench._utils.text import grouped, plural, printable
from volbench.cli.options import chosen_preprocessing, preprocessing_options
from volbench.cli.output import chosen_format, emit, json_text, output_options

if TYPE_CHECKING:
    from volbench.interfaces import Case

SHOWN = 10
"""Problems that are printed; a file has all of them."""


@click.command("check")
@click.argument("data")
@click.option("--jobs", type=click.IntRange(1), help="Reader processes; default: one per core.")
@click.option(
    "--allow-duplicates", is_flag=True, help="Warn of equal volumes instead of refusing them."
)
@preprocessing_options("data.geometry=pixdim")
@output_options("table", "json")
def command(
    data: str,
    jobs: int | None,
    allow_duplicates: bool,
    recipe: str | None,
    settings: tuple[str, ...],
    style: str | None,
    output: Path | None,
) -> None:
    """Read every volume and list all problems.

    DATA is a manifest.csv or the spec of a data set. The exit code is 3 if there are problems;
    warnings and notes do not count.
    """
    from volbench.datasets.manifest_rows import manifest_problems
    from volbench.errors import DataError

    as_json = chosen_format(style, output, ("table", "json")) == "json"

    def refuse(problems: tuple[str, ...]) -> NoReturn:
        if as_json:
            emit(json_text({"data": data, "clean": False, "problems": problems}), output)
        else:
            _list_problems(problems)
        raise DataError(f"{data}: {plural(len(problems), 'problem')}; no volume was read") from None

    if data.strip().lower().endswith(".csv") and (
        problems := manifest_problems(Path(data.strip()))
    ):  # before PyTorch is imported, which takes seconds and half a gigabyte
        refuse(problems)
    from volbench._utils.cpu import available_cores
    from volbench.cli.progress.counter import counter
    from volbench.data.checking.check import check
    from volbench.data.sources import open_dataset
    from volbench.datasets.manifest import ManifestError

    options = chosen_preprocessing(data, recipe, settings)
    try:
        dataset, spec = open_dataset(data)
    except ManifestError as error:
        refuse(error.problems)
    with counter("reading", "cases") as on_case:
        report = check(
            dataset,
            jobs=jobs or available_cores(),
            on_case=on_case,
            allow_duplicates=allow_duplicates,
            options=options,
            further=_problems_of_folds,
        )
    patients = {one.case.patient for one in report.surveyed}
    title = f"{spec}: {plural(len(report.surveyed), 'case')} of {plural(len(patients), 'patient')}"
    lines = [
        title,
        *(f"note: {printable(note)}" for note in report.notes),
        *(f"warning: {printable(warning)}" for warning in report.warnings),
    ]
    if as_json:
        found = {
            "data": str(spec),
            "cases": len(report.surveyed),
            "patients": len(patients),
            "clean": report.clean,
            "notes": report.notes,
            "warnings": report.warnings,
            "problems": report.problems,
        }
        emit(json_text(found), output)
    elif output is not None:
        listed = (f"problem: {printable(problem)}" for problem in report.problems)
        emit("\n".join([*lines, *listed]), output)
    else:
        click.echo("\n".join(lines))
        _list_problems(report.problems)
    if not report.clean:
        raise DataError(
            f"{data}: {plural(len(report.problems), 'problem')}; correct or remove these cases"
        )
    said = "clean: every volume is whole and fits its data set"
    likewise = ["--recipe", recipe] if recipe else []
    likewise += [word for setting in settings for word in ("--set", setting)]
    show = shlex.join(["volbench", "data", "show", data, *likewise])
    click.echo(f"{said}; look at them: {show}", err=style == "json")


def _problems_of_folds(cases: "Sequence[Case]") -> list[str]:
    from volbench.experiment.split_designs import problem_of_official_split

    problem = problem_of_official_split(
        [case.name for case in cases], [case.fold for case in cases]
    )
    return [problem] if problem else []


def _list_problems(problems: tuple[str, ...]) -> None:
    lines = grouped(problems)
    for line in lines[:SHOWN]:
        click.echo(f"problem: {printable(line)}")
    if len(lines) > SHOWN or len(lines) < len(problems):
        path = Path(tempfile.gettempdir()) / f"volbench-problems-{os.getpid()}.txt"
        write_atomic(path, "".join(f"{printable(problem)}\n" for problem in problems))
        more = len(lines) - SHOWN
        said = f"and {plural(more, 'problem')} more; all of them" if more > 0 else "each of them"
        click.echo(f"{said}: {path}")
