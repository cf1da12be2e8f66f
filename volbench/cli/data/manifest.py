"""`volbench data manifest`: write a manifest from a spreadsheet and patterns of file names."""

from pathlib import Path

import click

from volbench._utils.text import command_line
from volbench.cli.output import echo_note, positive_note

SHOWN = 3


@click.command("manifest", short_help="Write a manifest from a spreadsheet and a folder of images.")
@click.argument("table", type=click.Path(path_type=Path))
@click.option(
    "--image",
    "images",
    required=True,
    multiple=True,
    metavar="[NAME=]PATTERN",
    help="File of each row's image, with columns in braces: 'scans/{id}.nii.gz', or {id:03} for "
    "007. Wildcards are allowed. Several sequences: NAME=PATTERN for each.",
)
@click.option("--label", required=True, metavar="COLUMN", help="Column that holds the class.")
@click.option("--patient", required=True, metavar="COLUMN", help="Column that names the patient.")
@click.option("--mask", metavar="PATTERN", help="File of each row's mask, likewise.")
@click.option(
    "--keep",
    multiple=True,
    metavar="COLUMN",
    help="Further column to report by, such as site; repeatable.",
)
@click.option("--sheet", help="Sheet of an Excel file that has several.")
@click.option(
    "--skip-missing",
    is_flag=True,
    help="Leave out rows without an image or a label, and rows that repeat another.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("manifest.csv"),
    show_default=True,
    help="Manifest to write.",
)
def command(
    table: Path,
    images: tuple[str, ...],
    label: str,
    patient: str,
    mask: str | None,
    keep: tuple[str, ...],
    sheet: str | None,
    skip_missing: bool,
    output: Path,
) -> None:
    """Write a manifest from a spreadsheet and a folder of images.

    TABLE is a CSV or Excel file with one row per volume. A pattern must match exactly one file, or
    one folder with a DICOM series, for every row; nothing is guessed.

    \b
    volbench data manifest labels.xlsx --image 'scans/{id}.nii.gz' --label stage --patient id
    volbench data manifest labels.csv --image t2w='{id}/t2*.nii' --image dwi='{id}/dwi*.nii' \\
      --mask '{id}/roi.nii' --label stage --patient id --keep site
    """
    from collections import Counter

    from volbench._utils.text import plural
    from volbench.datasets.manifest_writer import ManifestColumns, write_manifest
    from volbench.datasets.spreadsheet import read_spreadsheet

    columns = ManifestColumns(_patterns(images), label, patient, mask, keep)
    written = write_manifest(
        read_spreadsheet(table, sheet), columns, output, skip_missing=skip_missing
    )
    for reason in written.skipped:
        echo_note(f"left out: {reason}")
    if written.unused:
        shown = ", ".join(written.unused[:SHOWN]) + (", ..." if len(written.unused) > SHOWN else "")
        verb = "belongs" if len(written.unused) == 1 else "belong"
        echo_note(f"{plural(len(written.unused), 'file')} {verb} to no row: {shown}")
    cases = written.manifest.cases()
    counts = Counter(case.label for case in cases)
    shown = ", ".join(f"{name} {counts[name]}" for name in written.manifest.classes)
    patients = plural(len({case.patient for case in cases}), "patient")
    positive = positive_note(written.manifest.classes)
    click.echo(f"wrote {output}: {plural(len(cases), 'case')} of {patients}; {shown}{positive}")
    click.echo(f"next: {command_line('volbench', 'data', 'check', output)}")


def _patterns(images: tuple[str, ...]) -> dict[str, str]:
    """Column of the manifest and its pattern: one image, or several by name."""
    from volbench.errors import UsageError

    if len(images) == 1 and "=" not in images[0].partition("{")[0]:
        return {"image": images[0]}
    patterns: dict[str, str] = {}
    for text in images:
        name, equals, pattern = text.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"--image {text}: name each of several, as in t2w='scans/{{id}}.nii'")
        if f"image:{name}" in patterns:
            raise UsageError(f"--image {name}=... is given twice; give it once")
        patterns[f"image:{name}"] = pattern
    return patterns
