"""`volbench list`: what can be named in a spec, who provides it, and what it is."""

import json
import sys
from dataclasses import asdict

import click

from volbench import catalogue
from volbench.registry import REGISTRIES

KINDS = (*REGISTRIES, "recipes", "plugins")


@click.command("list")
@click.argument("kind", type=click.Choice(KINDS), required=False, metavar="[KIND]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def command(kind: str | None, as_json: bool) -> None:
    """List what is installed; KIND narrows it.

    KIND is one of encoders, aggregators, losses, augmentations, datasets, recipes, plugins. Nothing
    is imported, and a broken plugin is one warning line.
    """
    kinds = (kind,) if kind else KINDS
    for warning in catalogue.warnings():
        click.echo(f"volbench: warning: {warning}", err=True)
    if as_json:
        click.echo(json.dumps({name: _records(name) for name in kinds}, indent=2))
    elif sys.stdout.isatty():
        _show_tables(kinds)
    else:
        click.echo("\n\n".join(_plain(name, heading=kind is None) for name in kinds))


def _records(kind: str) -> list[dict[str, object]]:
    items = catalogue.plugins() if kind == "plugins" else _items(kind)
    return [asdict(item) for item in items]


def _items(kind: str) -> list[catalogue.Item]:
    return catalogue.recipes() if kind == "recipes" else catalogue.components(kind)


def _rows(kind: str) -> list[tuple[str, str, str]]:
    """Three columns: the name, where it is from, what it is."""
    if kind == "plugins":
        return [
            (
                plugin.distribution,
                plugin.version,
                "; ".join(f"{of}: {', '.join(names)}" for of, names in plugin.components.items()),
            )
            for plugin in catalogue.plugins()
        ]
    return [
        (item.name, f"{item.distribution} {item.version}", item.summary) for item in _items(kind)
    ]


def _plain(kind: str, *, heading: bool) -> str:
    """Align the columns with spaces, so that ``cut``, ``awk`` and a person can read them."""
    rows = _rows(kind)
    name_width, origin_width = (max((len(row[i]) for row in rows), default=0) for i in (0, 1))
    lines = [
        f"{name:<{name_width}}  {origin:<{origin_width}}  {text}".rstrip()
        for name, origin, text in rows
    ]
    return "\n".join([kind, *(f"  {line}" for line in lines)] if heading else lines)


def _show_tables(kinds: tuple[str, ...]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    for kind in kinds:
        head = ("plugin", "version", "provides") if kind == "plugins" else (kind, "from", "what")
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for title, style in zip(head, ("bold cyan", "dim", ""), strict=True):
            table.add_column(title, style=style, no_wrap=title != head[-1])
        for row in _rows(kind):
            table.add_row(*map(Text, row))  # Text: a docstring's brackets are not rich's markup
        console.print(table)
