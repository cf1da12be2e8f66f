"""`volbench info`: signature, source, citation and computational cost of a component."""

import dataclasses
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from volbench._utils.text import plural

if TYPE_CHECKING:
    from volbench._api.info import MeasuredInfo


@click.command("info")
@click.argument("name", metavar="NAME")
@click.option(
    "--in-channels",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Input channels for the cost of an encoder.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a list with one entry per kind.")
def command(name: str, in_channels: int, as_json: bool) -> None:
    """Show signature, source, citation and cost of a component.

    NAME is a component of any kind, or a spec with arguments: 'timm(name="resnet50")'. The cost,
    shown for encoders, is parameters, GFLOPs per slice and receptive field.
    """
    if as_json:
        described = _describe(name, in_channels)
        click.echo(json.dumps([dataclasses.asdict(one) for one in described], indent=2))
    elif sys.stdout.isatty():
        _print_tables(name, in_channels)
    else:
        described = _describe(name, in_channels)
        click.echo("\n\n".join("\n".join(_lines(one)) for one in described))


def _describe(name: str, in_channels: int) -> "tuple[MeasuredInfo, ...]":
    from volbench._api.info import describe

    return describe(name, in_channels=in_channels)


def _rows(described: "MeasuredInfo") -> Iterator[tuple[str, str]]:
    yield described.kind, described.name
    yield "from", described.provider
    yield "what", described.summary or described.origin
    if described.summary and described.origin:
        yield "module", described.origin
    yield "signature", described.signature
    if described.shared_options:
        yield "and takes", f"{described.shared_options} (every {described.kind} does)"
    searched = ", ".join(f"{option}: {space}" for option, space in described.search_space.items())
    yield "search space", searched or "none proposed"
    yield "source", described.source
    yield "file", described.file
    yield "citation", ", ".join(described.citations) or "none given"
    if described.profile is None:
        return
    profile = described.profile
    yield "features", f"{profile.num_features} per slice"
    frozen = f" trained, {profile.frozen_parameters:,} frozen" if profile.frozen_parameters else ""
    yield "parameters", f"{profile.parameters:,}{frozen}"
    yield "with head", f"{profile.parameters_with_head:,} (one logit, no aggregator)"
    yield (
        "GFLOPs",
        f"{profile.gflops_per_slice:.3g} per slice at {profile.plane}×{profile.plane} "
        "(forward; a multiply-add counts as 2)",
    )
    yield "sees in-plane", _extent(profile.receptive_pixels, "pixel")
    yield "sees across", _extent(profile.receptive_slices, "slice")


def _extent(extent: int | str, unit: str) -> str:
    return extent if isinstance(extent, str) else plural(extent, unit)


def _lines(described: "MeasuredInfo") -> Iterator[str]:
    for label, text in _rows(described):
        yield f"{label:<14}{text}"


def _print_tables(name: str, in_channels: int) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    with console.status("measuring the encoder"):
        described = _describe(name, in_channels)
    for one in described:
        table = Table.grid(padding=(0, 2))
        for number, (label, text) in enumerate(_rows(one)):
            table.add_row(Text(label, style="dim"), Text(text, style="" if number else "bold"))
        console.print(table)
        console.print()
