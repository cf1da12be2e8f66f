"""`volbench plugin`: write a plugin, and check that it keeps its contract."""

import click

from volbench.cli.groups import LazyGroup


@click.group(
    "plugin",
    cls=LazyGroup,
    modules={
        "new": "volbench.cli.plugin.new",
        "check": "volbench.cli.plugin.check",
    },
)
def command() -> None:
    """Write a component of your own, and check that it keeps its contract."""
