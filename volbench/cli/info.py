"""`volbench info`: signature, source, citation and computational cost of a component."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from volbench._utils.text import plural
from volbench._utils.text_table import Column
from volbench.cli.output import (
    chosen_format,
    emit,
    facts_text,
    json_text,
    output_options,
    table_text,
)

if TYPE_CHECKING:
    from volbench._api.info import MeasuredInfo


@click.command("info")
@click.argument("name", metavar="NAME")
@click.option(
    "--in-channels",
    type=click.IntRange(1, 1000),
    default=1,
    show_default=True,
    help="Input channels for the cost of an encoder.",
)
@output_options("table", "json", alias=True)
def command(
    name: str, in_channels: int, style: str | None, output: Path | None, as_json: bool
) -> None:
    """Show signature, source, citation and cost of a component.

    NAME is a component of any kind, a spec with arguments such as 'timm(name="resnet50")', or a
    recipe, whose keys are listed with defaults and meanings. The cost, shown for encoders, is
    parameters, GFLOPs per slice and receptive field.
    """
    from volbench._api.info import is_recipe

    if is_recipe(name):
        _show_recipe(name, chosen_format(style, output, ("table", "json")), output)
        return
    described = _describe(name, in_channels)
    if as_json:  # of version 0.1, a bare list
        click.echo(json.dumps([dataclasses.asdict(one) for one in described], indent=2))
    elif chosen_format(style, output, ("table", "json")) == "json":
        emit(json_text({"components": [dataclasses.asdict(one) for one in described]}), output)
    else:
        emit("\n".join(facts_text([*_rows(one)], least=14) for one in described), output)


def _show_recipe(name: str, style: str, output: Path | None) -> None:
    """Every key of a recipe: where the defaults stand, and what they mean."""
    from volbench._api.info import RecipeInfo, info

    described = info(name)
    assert isinstance(described, RecipeInfo)
    keys = described.keys
    if style == "json":
        records = [dataclasses.asdict(each) for each in keys]
        emit(json_text({"recipe": name, "summary": described.summary, "keys": records}), output)
        return
    columns = [
        Column("--set", [each.key for each in keys], "word", lead=True),
        Column("default", [_value(each.default) for each in keys]),
        Column("meaning", [each.meaning for each in keys]),
        Column("allowed", [each.allowed for each in keys], spare=2),
        Column("search space", [each.search_space for each in keys], spare=1),
    ]
    title = facts_text([(name, described.summary)])
    emit(f"{title}\n{table_text(columns, to_file=output is not None)}", output)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "–" if value is None or value == () else str(value)


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
