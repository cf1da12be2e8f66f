"""The `volbench suite` commands: run and show the experiments of a suite file."""

import click

from volbench.cli.groups import LazyGroup


@click.group(
    "suite",
    cls=LazyGroup,
    modules={"run": "volbench.cli.suite.run", "show": "volbench.cli.suite.show"},
)
def command() -> None:
    """Run the experiments of a suite file and show its tables."""
