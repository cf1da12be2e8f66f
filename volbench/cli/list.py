"""`volbench list`: installed components, recipes and plugins."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from volbench._api.listing import KINDS, list_components
from volbench._utils.text_table import Column, is_narrow
from volbench.cli.output import (
    chosen_format,
    echo_note,
    emit,
    json_text,
    output_options,
    table_text,
)
from volbench.plugins import catalog

Row = tuple[str, ...]


@click.command("list")
@click.argument("kind", type=click.Choice(KINDS), required=False, metavar="[KIND]")
@output_options("table", "json", alias=True)
def command(kind: str | None, style: str | None, output: Path | None, as_json: bool) -> None:
    """List installed components, recipes and plugins.

    KIND is one of encoders, aggregators, losses, augmentations, datasets, executors, trackers,
    recipes, plugins. Nothing is imported, and a broken plugin gives one warning line. `volbench
    list plugins` also imports the components of each plugin in a subprocess and reports the result.
    """
    if kind != "plugins":  # whose table has a column for it
        for warning in catalog.warnings():
            echo_note(f"volbench: warning: {warning}")
    listed = {kind: list_components(kind)} if kind else list_components()
    if as_json or chosen_format(style, output, ("table", "json")) == "json":
        records = {name: [asdict(item) for item in items] for name, items in listed.items()}
        emit(json.dumps(records, indent=2) if as_json else json_text(records), output)
        return
    tables = {name: _rows(items) for name, items in listed.items()}
    if output is None and is_narrow():
        text = "\n".join(_table(name, rows) for name, rows in tables.items())
    else:
        sections = (_plain(name, rows, heading=kind is None) for name, rows in tables.items())
        text = "\n\n".join(sections)
    emit(text, output)


def _rows(items: Sequence[catalog.Item | catalog.Plugin]) -> list[Row]:
    return [
        _plugin_row(item)
        if isinstance(item, catalog.Plugin)
        else (item.name, f"{item.distribution} {item.version}", item.summary)
        for item in items
    ]


def _plugin_row(plugin: catalog.Plugin) -> Row:
    """Distribution, version, state and components of a plugin."""
    provided = "; ".join(f"{of}: {', '.join(names)}" for of, names in plugin.components.items())
    return plugin.distribution, plugin.version, plugin.state, provided


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


def _table(kind: str, rows: Sequence[Row]) -> str:
    heads: Row = (kind, "from", "what")
    heads = ("plugin", "version", "state", "provides") if kind == "plugins" else heads
    cells = zip(*rows, strict=True) if rows else [()] * len(heads)
    return table_text(
        [
            Column(head, texts, "word" if place < 2 else "text")
            for place, (head, texts) in enumerate(zip(heads, cells, strict=True))
        ]
    )
