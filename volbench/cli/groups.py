"""Lazy click groups: a subcommand is imported when it is called or listed."""

import importlib
import os
from collections.abc import Mapping
from typing import Any

import click

from volbench._utils.logs import show_logs

DEBUG_VARIABLE = "VOLBENCH_DEBUG"
"""Set by ``--debug``: errors show their traceback."""


def _show_logs(context: click.Context, parameter: click.Parameter, verbosity: int) -> None:
    show_logs(verbosity)


VERBOSE = click.Option(
    ["-v", "--verbose"],
    count=True,
    is_eager=True,
    expose_value=False,
    callback=_show_logs,
    help="Log progress to stderr; -vv adds debug messages.",
)
"""Every command has it."""


def _show_tracebacks(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        os.environ[DEBUG_VARIABLE] = "1"


DEBUG = click.Option(
    ["--debug"],
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_tracebacks,
    help="Show the traceback of an error.",
)
"""Every command has it."""


class LazyGroup(click.Group):
    """Group whose subcommands are modules, each with one attribute ``command``.

    Args:
        modules: Module of each subcommand, in the order of the help page.
    """

    def __init__(self, *args: Any, modules: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.modules = modules

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the subcommand; suggest what a name that is none may mean."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            from volbench.cli.other_words import command_hint

            raise click.UsageError(f"No such command {name!r}.{command_hint(name, ctx)}", ctx)
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Subcommand names in the order of the help page."""
        return list(self.modules)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import and return the subcommand ``name``."""
        if name not in self.modules:
            return None
        command: click.Command = importlib.import_module(self.modules[name]).command
        if not isinstance(command, click.Group) and VERBOSE not in command.params:
            command.params += [VERBOSE, DEBUG]
        return command
