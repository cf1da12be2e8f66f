"""`volbench plugin check`: run the contract tests on installed components."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from volbench._utils.text_table import Column, Kind, is_narrow
from volbench.cli.options import FiniteRange
from volbench.cli.output import chosen_format, emit, json_text, output_options, table_text
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
@output_options("table", "json", alias=True)
def command(
    names: tuple[str, ...],
    built_in: bool,
    import_seconds: float,
    style: str | None,
    output: Path | None,
    as_json: bool,
) -> None:
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
    records = [_record(result) for result in results]
    if as_json:  # of version 0.1, a bare list
        emit(json.dumps(records, indent=2), output)
    elif chosen_format(style, output, ("table", "json")) == "json":
        emit(json_text({"results": records}), output)
    elif results:
        emit(_shown(results, to_file=output is not None), output)
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
    message = result.message.removeprefix(_who(result))
    counts = map(str, (result.passed, result.failed, result.skipped))
    return (str(target.spec), target.kind, target.provider, *counts, message)


def _shown(results: Sequence["Result"], *, to_file: bool) -> str:
    """One line per component, and beneath it every further failure."""
    rows = [_row(result) for result in results]
    if not to_file and is_narrow():
        kinds: Sequence[Kind] = ("text", "word", "word", "number", "number", "number", "text")
        columns = [
            Column(head, cells, kind, spare=3 if head == "from" else 2 if head == "skipped" else 0)
            for head, kind, cells in zip(HEAD, kinds, zip(*rows, strict=True), strict=True)
        ]
        text = table_text(columns).rstrip("\n")
    else:
        rows = [HEAD, *rows]
        widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD) - 1)]
        lines = (
            "  ".join(
                [*(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)), row[-1]]
            ).rstrip()
            for row in rows
        )
        text = "\n".join(lines)
    others = [
        f"{result.target.spec} also: {failure.removeprefix(_who(result))}"
        for result in results
        for failure in result.failures[1:]
    ]
    return "\n".join([text, *([""] if others else []), *others])


def _who(result: "Result") -> str:
    return f"{result.target.kind} {result.target.spec}: "
