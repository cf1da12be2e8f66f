"""`volbench export`: export the networks of a run to ONNX."""

from pathlib import Path

import click

from volbench.cli.output import echo_note


@click.command("export")
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--fold",
    "folds",
    multiple=True,
    type=click.IntRange(0),
    help="Export only this fold; repeatable; default: all finished folds.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.onnx",
    help="Output file; default: named after the run.",
)
def command(run: Path, folds: tuple[int, ...], output: Path | None) -> None:
    """Export the ensemble of a run to one ONNX file.

    Research software; not for clinical use.

    Input is a prepared volume, output the probabilities of each finished fold and their mean. The
    metadata of the file describe the preprocessing. The graph is compared with PyTorch on random
    volumes, and not written if they differ. Requires pip install 'volbench[export]'.

    \b
    volbench export runs/mine
    volbench export runs/mine --fold 3 --output fold3.onnx
    """
    from volbench.export.onnx_file import CHECKED_SLICES, export_onnx
    from volbench.export.onnx_graph import require_extra
    from volbench.predict.results import NOTICE

    require_extra()
    click.echo("exporting: a few seconds per fold", err=True)
    exported = export_onnx(run, output, folds=folds or None)
    echo_note(f"note: {NOTICE}")
    for note in exported.notes:
        echo_note(f"warning: {note}")
    slices = ", ".join(map(str, CHECKED_SLICES))
    click.echo(f"file        {exported.path}")
    click.echo(f"folds       {', '.join(map(str, exported.folds))}")
    click.echo(f"size        {exported.bytes / 1e6:.1f} MB")
    click.echo(f"difference  {exported.difference:.1e} at most from PyTorch ({slices} slices)")
