"""The `volbench plugin` commands: create a plugin and check it against its contract."""

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
    """Create a plugin, or check it against its contract."""
