"""The `volbench suite` commands: the experiments of a file, run together and shown as tables."""

import click

from volbench.cli.groups import LazyGroup


@click.group(
    "suite",
    cls=LazyGroup,
    modules={"run": "volbench.cli.suite.run", "show": "volbench.cli.suite.show"},
)
def command() -> None:
    """Run the experiments that a file lists, and show them as its tables."""
