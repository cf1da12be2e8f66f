"""`volbench list`: installed components, recipes and plugins."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import click

from volbench.experiment.recipes import built_in_recipes
from volbench.plugins import catalog
from volbench.plugins.registry import REGISTRIES

KINDS = (*REGISTRIES, "recipes", "plugins")
Row = tuple[str, ...]


@click.command("list")
@click.argument("kind", type=click.Choice(KINDS), required=False, metavar="[KIND]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def command(kind: str | None, as_json: bool) -> None:
    """List installed components, recipes and plugins.

    KIND is one of encoders, aggregators, losses, augmentations, datasets, recipes, plugins. Nothing
    is imported, and a broken plugin gives one warning line. `volbench list plugins` also imports
    the components of each plugin in a subprocess and reports the result.
    """
    kinds = (kind,) if kind else KINDS
    if kind != "plugins":  # whose table has a column for it
        for warning in catalog.warnings():
            click.echo(f"volbench: warning: {warning}", err=True)
    plugins = catalog.plugins(trial=kind == "plugins") if "plugins" in kinds else []
    if as_json:
        found = {name: plugins if name == "plugins" else _items(name) for name in kinds}
        records = {name: [asdict(item) for item in items] for name, items in found.items()}
        click.echo(json.dumps(records, indent=2))
        return
    tables = {name: _plugin_rows(plugins) if name == "plugins" else _rows(name) for name in kinds}
    if sys.stdout.isatty():
        _show_tables(tables)
    else:
        sections = (_plain(name, rows, heading=kind is None) for name, rows in tables.items())
        click.echo("\n\n".join(sections))


def _items(kind: str) -> list[catalog.Item]:
    return built_in_recipes() if kind == "recipes" else catalog.components(kind)


def _rows(kind: str) -> list[Row]:
    """Name, distribution and summary of each component."""
    return [
        (item.name, f"{item.distribution} {item.version}", item.summary) for item in _items(kind)
    ]


def _plugin_rows(plugins: Sequence[catalog.Plugin]) -> list[Row]:
    """Distribution, version, state and components of each plugin."""
    return [
        (
            plugin.distribution,
            plugin.version,
            plugin.state,
            "; ".join(f"{of}: {', '.join(names)}" for of, names in plugin.components.items()),
        )
        for plugin in plugins
    ]


def _plain(kind: str, rows: Sequence[Row], *, heading: bool) -> str:
    """Align the columns with spaces, readable by ``cut``, ``awk`` and people."""
    count = len(rows[0]) if rows else 0
    widths = [max(len(row[i]) for row in rows) for i in range(count - 1)]
    lines = [
        "  ".join(
            [*(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=False)), row[-1]]
        ).rstrip()
        for row in rows
    ]
    return "\n".join([kind, *(f"  {line}" for line in lines)] if heading else lines)


def _show_tables(tables: Mapping[str, Sequence[Row]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    for kind, rows in tables.items():
        head: Row = (kind, "from", "what")
        head = ("plugin", "version", "state", "provides") if kind == "plugins" else head
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for title in head:
            style = {head[0]: "bold cyan", "from": "dim", "version": "dim"}.get(title, "")
            table.add_column(title, style=style, no_wrap=title in head[:2])
        for row in rows:
            table.add_row(*map(Text, row))  # Text: a docstring's brackets are not rich's markup
        console.print(table)
