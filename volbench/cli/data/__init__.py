"""The `volbench data` commands: list, check, describe, prepare and audit data sets."""

import click

from volbench.cli.groups import LazyGroup


@click.group(
    "data",
    cls=LazyGroup,
    modules={
        "manifest": "volbench.cli.data.manifest",
        "check": "volbench.cli.data.check",
        "describe": "volbench.cli.data.describe",
        "prepare": "volbench.cli.data.prepare",
        "show": "volbench.cli.data.show",
        "audit": "volbench.cli.data.audit",
        "phantom": "volbench.cli.data.phantom",
    },
)
def command() -> None:
    """List, check, describe, prepare, show and audit a data set."""
