"""`volbench data prepare`: read, preprocess and pack a data set before training."""

from pathlib import Path

import click

from volbench._utils.text import plural, printable
from volbench.cli.options import chosen_preprocessing, preprocessing_options
from volbench.cli.output import echo_note
from volbench.cli.progress.counter import counter


@click.command("prepare")
@click.argument("data", metavar="SPEC|MANIFEST.CSV|FOLDER")
@preprocessing_options()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Copy the prepared data there as well, e.g. for another machine.",
)
@click.option(
    "--jobs", type=click.IntRange(min=1), help="Preprocessing processes; default: one per core."
)
@click.option(
    "--allow-duplicates", is_flag=True, help="Accept equal volumes on both sides of a fold."
)
def command(
    data: str,
    recipe: str | None,
    settings: tuple[str, ...],
    out: Path | None,
    jobs: int | None,
    allow_duplicates: bool,
) -> None:
    """Preprocess a data set once, before training.

    Runs then open the prepared volumes from the cache. Rerun the same command to resume an
    interrupted preparation. Given a prepared FOLDER, every voxel is verified against its checksum,
    as one should after a copy.
    """
    import time

    from volbench.crossval.duplicate_scans import check_prepared
    from volbench.data.cache.writing import copy_prepared, require_room
    from volbench.data.checking.prepared_notes import prepared_notes
    from volbench.data.preparation.prepare_data import prepare

    start = time.perf_counter()
    options = chosen_preprocessing(data, recipe, settings)
    if out is not None:
        require_room(out)
    with counter("preparing", "cases") as report:
        prepared = prepare(data, options, jobs=jobs, on_case=report)
    if Path(data).is_dir():
        prepared.check()
    for note in (
        *check_prepared(prepared, allow=allow_duplicates),
        *prepared_notes(prepared),
    ):
        echo_note(f"warning: {printable(note)}")
    if out is not None:
        prepared = copy_prepared(prepared, out)
    slices, channels, height, width = prepared.voxels.shape
    patients = len({case.patient for case in prepared.cases})
    done = prepared.preprocessing
    click.echo(f"folder    {prepared.folder}")
    click.echo(f"cases     {len(prepared.cases)} of {patients} patients")
    click.echo(f"slices    {slices} of {height} x {width}, {plural(channels, 'channel')}")
    click.echo(f"prepared  {', '.join(f'{key}={value}' for key, value in done.shown().items())}")
    click.echo(f"size      {prepared.voxels.nbytes / 1e6:.1f} MB")
    click.echo(f"seconds   {time.perf_counter() - start:.1f}")
