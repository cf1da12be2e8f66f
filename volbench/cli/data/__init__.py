"""The `volbench data` commands: check, describe, prepare and audit data sets."""

import click

from volbench.cli.groups import LazyGroup


@click.group(
    "data",
    cls=LazyGroup,
    modules={
        "check": "volbench.cli.data.check",
        "describe": "volbench.cli.data.describe",
        "prepare": "volbench.cli.data.prepare",
        "show": "volbench.cli.data.show",
        "audit": "volbench.cli.data.audit",
        "phantom": "volbench.cli.data.phantom",
    },
)
def command() -> None:
    """Check, describe, prepare, show and audit a data set."""
