"""`volbench plugin new`: create a plugin package with one working component."""

import shlex
from pathlib import Path

import click

from volbench.plugins.registry import REGISTRIES
from volbench.plugins.scaffold import Names, providers_of, write_plugin


@click.command("new")
@click.argument("name", metavar="NAME")
@click.option(
    "--kind",
    type=click.Choice([registry.kind for registry in REGISTRIES.values()]),
    required=True,
    help="Kind of component.",
)
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Parent folder of the new package.  [default: the current one]",
)
def command(name: str, kind: str, into: Path) -> None:
    """Create a plugin package with a working component.

    The package has a small component, its test, and all files needed to publish it. NAME is the
    name in a spec, such as log-sum-exp: the component becomes log_sum_exp, the package
    volbench-log-sum-exp.
    """
    names = Names.of(name)
    folder = write_plugin(name, kind, into)
    for provider in providers_of(name, kind):
        click.echo(
            f"volbench: warning: {provider} provides the {kind} {names.component!r} already; "
            "rename yours, or only one of them can be used",
            err=True,
        )
    click.echo(
        f"wrote {folder}\n\n"
        f"  edit    {folder / names.package / names.component}.py\n"
        f"  install pip install -e {shlex.quote(str(folder))}\n"
        f"  check   volbench plugin check {names.component}"
    )
