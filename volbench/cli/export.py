"""`volbench export`: a run's networks as an ONNX file."""

from pathlib import Path

import click


@click.command("export")
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--fold",
    "folds",
    multiple=True,
    type=click.IntRange(0),
    help="Only the network of this fold; repeatable. All finished folds if left out.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.onnx",
    help="The file; named after the run if left out.",
)
def command(run: Path, folds: tuple[int, ...], output: Path | None) -> None:
    """Write the networks of RUN into one ONNX file: a prepared volume in, probabilities out.

    Research software; not for clinical use.

    All finished folds go into one graph, which gives the mean of their probabilities and those of
    each. The file says how volumes must be prepared. It is compared with PyTorch on random volumes
    first, and not written if they differ. Needs pip install 'volbench[export]'.

    \b
    volbench export runs/mine
    volbench export runs/mine --fold 3 --output fold3.onnx
    """
    from volbench.export.onnx_file import CHECKED_SLICES, export_onnx
    from volbench.export.onnx_graph import require_extra
    from volbench.predict.results import NOTICE

    require_extra()
    click.echo("exporting: some seconds per fold", err=True)
    exported = export_onnx(run, output, folds=folds or None)
    click.echo(f"note: {NOTICE}", err=True)
    for note in exported.notes:
        click.echo(f"warning: {note}", err=True)
    slices = ", ".join(map(str, CHECKED_SLICES))
    click.echo(f"file        {exported.path}")
    click.echo(f"folds       {', '.join(map(str, exported.folds))}")
    click.echo(f"size        {exported.bytes / 1e6:.1f} MB")
    click.echo(f"difference  {exported.difference:.1e} at most from PyTorch ({slices} slices)")
