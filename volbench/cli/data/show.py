"""`volbench data show`: look at cases, as read and as prepared."""

from pathlib import Path

import click

from volbench._utils.text import plural
from volbench.cli.options import chosen_preprocessing, preprocessing_options

MONTAGE_CASES = 12


@click.command("show", short_help="Draw slices, mask outline and crop box of cases.")
@click.argument("data", metavar="SPEC|MANIFEST.CSV|FOLDER")
@click.option("names", "--case", multiple=True, metavar="NAME", help="Case to show; repeatable.")
@click.option("--montage", is_flag=True, help=f"Show the first {MONTAGE_CASES} cases, not one.")
@preprocessing_options("preprocessing.crop=roi")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default="data-show.png",
    show_default=True,
    help="Output PNG file; a page of the same name, .html, is written beside it.",
)
def command(
    data: str,
    names: tuple[str, ...],
    montage: bool,
    recipe: str | None,
    settings: tuple[str, ...],
    output: Path,
) -> None:
    """Draw cases of DATA as PNG and as a page: slices as read, with the crop box, and as prepared.

    Nothing is cached. Of a prepared FOLDER, the slices that the network sees are drawn.
    """
    from volbench._utils.atomic_io import write_atomic
    from volbench.data import montage as drawing
    from volbench.errors import UsageError

    if output.suffix.lower() != ".png":
        raise UsageError(f"--output {output}: give a file ending in .png")
    options = chosen_preprocessing(data, recipe, settings)
    most = MONTAGE_CASES if montage else 1
    shown = [
        (view, drawing.draw(view)) for view in drawing.views(data, options, names=names, most=most)
    ]
    write_atomic(output, drawing.png(drawing.montage([image for _, image in shown])))
    web = output.with_suffix(".html")
    write_atomic(web, drawing.page(f"{plural(len(shown), 'case')} of {data}", shown))
    click.echo(f"wrote {output} and {web}: {plural(len(shown), 'case')}")
