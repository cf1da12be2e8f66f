"""`volbench logs`: what the attempts at a fold have logged."""

from pathlib import Path

import click

from volbench._utils.text import command_line


@click.command("logs", short_help="Print the log of a fold, and why it failed.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--fold", type=click.IntRange(0), required=True, help="Number of the fold.")
@click.option("--attempt", type=click.IntRange(1), help="Only this attempt; default: all.")
def command(run: Path, fold: int, attempt: int | None) -> None:
    """Print the log of a fold: epochs, and the traceback of a failure.

    \b
    volbench logs runs/a --fold 3
    """
    from volbench.errors import UsageError
    from volbench.executors.status import logs
    from volbench.runs.folder import RunFolder

    RunFolder(run).experiment()
    found = list(logs(run, fold, attempt=attempt))
    if not found:
        which = "" if attempt is None else f", attempt {attempt}"
        status = command_line("volbench", "status", run)
        raise UsageError(f"{run} has no log of fold {fold}{which}; see {status}")
    for path, text in found:
        click.echo(f"==> {path} <==\n{text}")
