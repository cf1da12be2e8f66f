"""`volbench data describe`: summary statistics of a data set."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from volbench._utils.text import command_line
from volbench.cli.options import chosen_preprocessing, preprocessing_options
from volbench.cli.output import (
    chosen_format,
    emit,
    facts_text,
    json_text,
    output_options,
    positive_note,
)

if TYPE_CHECKING:
    from volbench.data.checking.describe import DatasetSummary, Range

SHOWN_VALUES = 8
GEOMETRY = ("data.geometry=", "preprocessing.geometry=")


@click.command("describe")
@click.argument("data")
@click.option("--jobs", type=click.IntRange(1), help="Reader processes; default: one per core.")
@preprocessing_options("data.geometry=pixdim")
@output_options("table", "json", alias=True)
def command(
    data: str,
    jobs: int | None,
    recipe: str | None,
    settings: tuple[str, ...],
    style: str | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Summarise cases, sizes, spacings and strata.

    DATA is a manifest.csv or the spec of a data set. Three figures are minimum, median and maximum,
    of the volumes as they are stored: of a recipe and of --set, only the geometry counts.
    """
    from volbench._utils.cpu import available_cores
    from volbench.cli.progress.counter import counter
    from volbench.data.checking.describe import describe
    from volbench.data.checking.survey import survey
    from volbench.data.sources import open_dataset
    from volbench.errors import DataError, UsageError

    for setting in settings:
        if not setting.replace(" ", "").startswith(GEOMETRY):
            raise UsageError(
                f"--set {setting!r}: volumes are described as they are stored, so only "
                "data.geometry counts; volbench data show draws them as prepared"
            )
    geometry = chosen_preprocessing(data, recipe, settings).geometry
    dataset, spec = open_dataset(data)
    with counter("reading", "cases") as on_case:
        surveyed = survey(
            dataset, jobs=jobs or available_cores(), on_case=on_case, geometry=geometry
        )
    found = describe(dataset, surveyed)
    if as_json or chosen_format(style, output, ("table", "json")) == "json":
        emit(json_text({"data": str(spec), **asdict(found)}), output)
    else:
        emit(facts_text([("data", str(spec)), *_rows(found)]), output)
    if found.unreadable:
        raise DataError(
            f"{data}: {found.unreadable} of {found.cases} volumes cannot be read; "
            f"{command_line('volbench', 'data', 'check', data)} lists them"
        )


def _rows(found: "DatasetSummary") -> Iterator[tuple[str, str]]:
    card = found.card
    yield "title", card.title
    yield "licence", card.licence
    yield "citation", card.citation
    if card.url:
        yield "url", card.url
    yield "cases", str(found.cases)
    yield "patients", str(found.patients)
    yield "classes", _shown(found.classes) + positive_note([*found.classes])
    if found.folds:
        yield "folds", _shown(found.folds)
    yield "channels", ", ".join(found.channels)
    yield "masks", f"{found.masks} of {found.cases}"
    yield "representative", f"slices named in {found.representative} of {found.cases}"
    yield "ranges", "smallest / median / largest"
    for name, range_ in (
        ("slices", found.slices),
        ("rows", found.rows),
        ("columns", found.columns),
        ("slice spacing mm", found.slice_spacing_mm),
        ("row spacing mm", found.row_spacing_mm),
        ("column spacing mm", found.column_spacing_mm),
        ("slice : pixel spacing", found.anisotropy),
        ("region, % of voxels", found.region_percent),
    ):
        if range_:
            yield name, str(range_)
    for name, extents in found.mask_extents_mm.items():
        yield f"{name}, extent mm", str(extents)
    for name, stratum in found.strata.items():
        yield f"stratum {name}", _shown(stratum)


def _shown(values: "Mapping[str, int] | Range") -> str:
    if not isinstance(values, Mapping):
        return str(values)
    parts = [f"{name or '(empty)'} {count}" for name, count in values.items()]
    more = len(parts) - SHOWN_VALUES
    return ", ".join(parts[:SHOWN_VALUES]) + (f" and {more} more" if more > 0 else "")
