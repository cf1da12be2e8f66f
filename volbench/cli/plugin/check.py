"""`volbench plugin check`: run the contract tests on installed components."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from volbench.cli.options import FiniteRange
from volbench.errors import PluginError

if TYPE_CHECKING:
    from volbench.testing.run import Result

HEAD = ("component", "kind", "from", "passed", "failed", "skipped", "what to change first")


@click.command("check")
@click.argument("names", nargs=-1, metavar="[SPEC]...")
@click.option("--all", "built_in", is_flag=True, help="Also check the built-in components.")
@click.option(
    "--import-seconds",
    type=FiniteRange(min=0, min_open=True),
    default=15.0,
    show_default=True,
    help="Time limit for importing a component, without PyTorch and volbench.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def command(names: tuple[str, ...], built_in: bool, import_seconds: float, as_json: bool) -> None:
    """Run the contract tests on plugin components.

    SPEC is a name, or a spec with arguments: 'lse(r=4)'; without SPEC, all components of plugins
    are checked. Each component is tested in a subprocess, and a failure says what to change.
    Requires pytest: pip install 'volbench[test]'.
    """
    from volbench.testing.run import check, find_targets

    targets = find_targets(names, built_in=built_in)
    results = []
    for number, result in enumerate(check(targets, import_seconds=import_seconds), start=1):
        results.append(result)
        if sys.stderr.isatty():
            click.echo(f"\rchecked {number} of {len(targets)}", err=True, nl=number == len(targets))
    if as_json:
        click.echo(json.dumps([_record(result) for result in results], indent=2))
    elif results:
        _show(results)
    else:
        click.echo("no plugin is installed; --all checks volbench's own components")
    if broken := [str(result.target.spec) for result in results if result.failed]:
        raise PluginError(
            f"{len(broken)} of {len(results)} components break their contract: {', '.join(broken)}"
        )


def _record(result: "Result") -> dict[str, object]:
    target = result.target
    counts = dataclasses.asdict(result)
    del counts["target"]
    named = {"component": str(target.spec), "kind": target.kind, "distribution": target.provider}
    return {**named, **counts}


def _row(result: "Result") -> tuple[str, ...]:
    target = result.target
    message = result.message.removeprefix(f"{target.kind} {target.spec}: ")
    counts = map(str, (result.passed, result.failed, result.skipped))
    return (str(target.spec), target.kind, target.provider, *counts, message)


def _show(results: Sequence["Result"]) -> None:
    rows = [HEAD, *map(_row, results)]
    if sys.stdout.isatty():
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for title in HEAD:
            count = title in ("passed", "failed", "skipped")
            table.add_column(title, justify="right" if count else "left", no_wrap=title != HEAD[-1])
        for row, result in zip(rows[1:], results, strict=True):
            table.add_row(*map(Text, row), style="red" if result.failed else "")
        Console().print(table)
        return
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD) - 1)]
    for row in rows:
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
        click.echo("  ".join([*cells, row[-1]]).rstrip())
