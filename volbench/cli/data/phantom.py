"""`volbench data phantom`: write the built-in phantom as image files with a manifest."""

from pathlib import Path

import click

from volbench._utils.text import command_line
from volbench.cli.options import FiniteRange


def _slices(ctx: click.Context, param: click.Parameter, value: str) -> int | tuple[int, int]:
    """Parse a number or a range such as 3-6."""
    least, dash, most = value.partition("-")
    if not least.isdecimal() or (dash and not most.isdecimal()):
        raise click.BadParameter(f"{value!r} is neither a number nor a range such as 3-6.")
    return (int(least), int(most)) if dash else int(least)


@click.command("phantom")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--patients",
    type=int,
    default=90,
    show_default=True,
    help="Number of volumes, one per patient.",
)
@click.option("--size", type=int, default=32, show_default=True, help="In-plane size in pixels.")
@click.option(
    "--slices",
    callback=_slices,
    metavar="N|MIN-MAX",
    default="3-6",
    show_default=True,
    help="Slices per volume, a number or a range.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Random seed of the cohort.")
@click.option(
    "--difficulty",
    type=FiniteRange(),
    default=0.1,
    show_default=True,
    help="From 0 (learnable from a hundred small volumes) to 1 (needs hundreds of large ones).",
)
@click.option(
    "--columns",
    is_flag=True,
    help="Add made-up clinical columns: age, sex, and cea, which tells something of the class.",
)
@click.option(
    "--version",
    type=int,
    default=2,
    show_default=True,
    help="Version of the phantom; 1 is that of old runs, whose classes a histogram tells apart.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["nifti", "nrrd", "mha"]),
    default="nifti",
    show_default=True,
    help="File format of images and masks.",
)
def command(
    out: Path,
    patients: int,
    size: int,
    slices: int | tuple[int, int],
    seed: int,
    difficulty: float,
    columns: bool,
    version: int,
    form: str,
) -> None:
    """Write the built-in phantom as images with a manifest.

    The folder OUT receives images, masks, manifest.csv, and truth.csv with the tumour volumes and
    geometry that were drawn. Rerun the same command to resume.
    """
    from volbench.cli.progress.counter import counter
    from volbench.datasets.phantom import Phantom
    from volbench.datasets.phantom.export import export
    from volbench.errors import UsageError

    try:
        phantom = Phantom(
            patients=patients,
            size=size,
            slices=slices,
            seed=seed,
            difficulty=difficulty,
            columns=columns,
            version=version,
        )
    except ValueError as error:
        raise UsageError(str(error)) from None
    with counter("writing", "volumes") as report:
        manifest = export(phantom, out, form=form, report=report)
    check = command_line("volbench", "data", "check", manifest)
    click.echo(f"wrote {manifest}: {patients} cases; next: {check}")
