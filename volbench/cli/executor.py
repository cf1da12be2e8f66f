"""What commands that train do with ``--on``: build the executor, detach from it on Ctrl-C."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from volbench._utils.text import command_line

if TYPE_CHECKING:
    from volbench.interfaces import Executor

INTERRUPTED = 130


@contextmanager
def open_executor(on: str, path: Path | None) -> "Iterator[Executor | None]":
    """Build the executor that ``--on`` names; None for plain ``local``, which --jobs governs.

    Args:
        on: A spec.
        path: The run or the folder of runs, to tell how to look at them; None where there is none.
    """
    if on == "local":
        yield None
        return
    from volbench.interfaces import Executor
    from volbench.plugins.registry import executors

    with executors.build(on, Executor) as executor:
        try:
            yield executor
        except KeyboardInterrupt:
            if not executor.detaches:
                raise
            look = "" if path is None else f", or look: {command_line('volbench', 'status', path)}"
            click.echo(
                f"volbench: detached; the tasks go on. Attach again with the same command{look}",
                err=True,
            )
            raise click.exceptions.Exit(INTERRUPTED) from None
