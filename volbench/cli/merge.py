"""`volbench merge`: folds of one experiment that were trained apart, as one run."""

from pathlib import Path

import click


@click.command("merge", short_help="Merge runs of one experiment trained on several machines.")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="RUN",
    help="Folder of the merged run; it must not exist.",
)
def command(runs: tuple[Path, ...], out: Path) -> None:
    """Merge folds of one experiment trained on several machines.

    Their finished folds must be disjoint or identical; anything else is refused.

    \b
    volbench merge laptop/runs/a workstation/runs/a --out runs/a
    """
    from volbench.runs.merge import merge_runs

    sources = merge_runs(runs, out)
    for fold, path in sources.items():
        click.echo(f"fold {fold:>2} from {path}")
    click.echo(f"{len(sources)} finished folds: {out}")
