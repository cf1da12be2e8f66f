"""Montage of cases: slices as read with the crop box, as prepared, and the mask outline."""

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw

from volbench._utils.text import suggestion
from volbench.data.cache.packed_voxels import Prepared, PreparedCase, is_prepared, open_prepared
from volbench.data.preprocessing.options import Preprocessing
from volbench.errors import UsageError
from volbench.interfaces import Case, Dataset

SIDE = 160
"""Pixels of the longer side of a slice."""
GAP = 4
LINE = 14
MOST_SLICES = 8
WINDOW = (1.0, 99.0)
"""Percentiles of a volume that are black and white."""
OUTLINE, BOX, CHOSEN = (0, 200, 255), (255, 170, 0), (255, 255, 255)

Grey = UInt8[np.ndarray, "slice height width"]
Region = Bool[np.ndarray, "slice height width"]


@dataclass(frozen=True, eq=False)
class Strip:
    """Some slices of one volume, side by side.

    Attributes:
        numbers: Which slices, counted from 0.
        marked: Those of them that are representative.
        box: First row, first column, rows and columns of what is cropped out of each slice.
        pixel_mm: Between rows and between columns, so that what is round stays round.
    """

    title: str
    slices: Grey
    numbers: tuple[int, ...]
    marked: frozenset[int]
    mask: Region | None
    box: tuple[int, int, int, int] | None
    pixel_mm: tuple[float, float]


@dataclass(frozen=True, eq=False)
class CaseView:
    """One case to look at: as read, if its source is there, and as prepared."""

    name: str
    label: str
    strips: tuple[Strip, ...]


def views(
    data: str, options: Preprocessing, *, names: Sequence[str] = (), most: int = 1
) -> Iterator[CaseView]:
    """Read cases to look at; a prepared folder is opened, anything else is read and prepared.

    Args:
        data: A spec, a manifest's path or a prepared folder.
        options: What is done to each volume.
        names: Cases to show.
        most: Without ``names``, how many are shown.

    Raises:
        UsageError: there is no such case.
        VolbenchError: the data cannot be opened, or a case not be read.
    """
    if Path(data).is_dir() and is_prepared(Path(data)):
        prepared = open_prepared(Path(data))
        known = {case.name: number for number, case in enumerate(prepared.cases)}
        for name in _chosen(names, list(known), most):
            yield _of_prepared(prepared, known[name])
        return
    from volbench.data.sources import open_dataset

    dataset, _ = open_dataset(data)
    resolved = options.resolved(dataset)
    cases = {case.name: case for case in dataset.cases()}
    for name in _chosen(names, list(cases), most):
        yield _of_source(cases[name], dataset, resolved)


def draw(view: CaseView) -> Image.Image:
    """Draw one case: a row for each strip, with a title above it."""
    rows = [_row(strip) for strip in view.strips]
    width = max(row.width for row in rows)
    height = LINE + sum(LINE + row.height + GAP for row in rows)
    image = Image.new("RGB", (max(width, 320), height))
    pen = ImageDraw.Draw(image)
    pen.text((GAP, 1), f"{view.name}: {view.label}", fill=CHOSEN)
    top = LINE
    for strip, row in zip(view.strips, rows, strict=True):
        pen.text((GAP, top + 1), strip.title, fill=(190, 190, 190))
        image.paste(row, (0, top + LINE))
        top += LINE + row.height + GAP
    return image


def montage(drawn: Sequence[Image.Image]) -> Image.Image:
    """Put drawn cases below one another."""
    image = Image.new("RGB", (max(one.width for one in drawn), sum(one.height for one in drawn)))
    top = 0
    for one in drawn:
        image.paste(one, (0, top))
        top += one.height
    return image


def page(title: str, shown: Iterable[tuple[CaseView, Image.Image]]) -> str:
    """One self-contained HTML page of drawn cases."""
    figures = "\n".join(
        f'<figure><img alt="Slices of {escape(view.name)}" src="{_uri(image)}">'
        f"<figcaption>{escape(view.name)}: {escape(view.label)}</figcaption></figure>"
        for view, image in shown
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>
<style>
body {{ background: #111; color: #ddd; font: 15px system-ui, sans-serif; margin: 2rem }}
figure {{ margin: 0 0 2rem; overflow-x: auto }} img {{ display: block }}
.mask {{ color: rgb{OUTLINE} }} .box {{ color: rgb{BOX} }}
</style></head><body>
<h1>{escape(title)}</h1>
<p><span class="mask">Blue</span>: outline of the mask. <span class="box">Orange</span>: what is
cropped. A white frame: a representative slice. Slices count from 1.</p>
{figures}
</body></html>
"""


def _chosen(names: Sequence[str], there: Sequence[str], most: int) -> Sequence[str]:
    for name in names:
        if name not in there:
            hint = suggestion(name, there, otherwise=f"the first is {there[0]!r}")
            raise UsageError(f"--case {name}: no such case; {hint}")
    return names or there[:most]


def _of_prepared(prepared: Prepared, index: int) -> CaseView:
    case = prepared.cases[index]
    strip = _prepared_strip(case, prepared.volume(index)[:, 0], prepared.mask(index))
    return CaseView(case.name, prepared.classes[case.label], (strip,))


def _of_source(case: Case, dataset: Dataset, options: Preprocessing) -> CaseView:
    from volbench.data.preprocessing.operations import crop_box, kept_slices, preprocess
    from volbench.data.reading import read_as, read_with_fingerprint

    scan, _ = read_with_fingerprint(
        read_as(case, options.geometry), options.transform(), dataset.channels
    )
    done = preprocess(scan, options)
    kept = kept_slices(scan, options)
    numbers = _spread(range(kept.start, kept.stop), scan.representative)
    read = Strip(
        title=f"read: {_facts(scan.image.shape[1:], scan.spacing_mm, scan.plane)}",
        slices=windowed(scan.image[0]),
        numbers=numbers,
        marked=frozenset(scan.representative),
        mask=scan.mask,
        box=crop_box(scan, options),
        pixel_mm=scan.spacing_mm[1:],
    )
    after = Strip(
        title=f"prepared: {_facts(done.image.shape[1:], done.spacing_mm, done.plane)}",
        slices=windowed(done.image[0]),
        numbers=tuple(number - kept.start for number in numbers),
        marked=frozenset(done.representative),
        mask=done.mask,
        box=None,
        pixel_mm=done.spacing_mm[1:],
    )
    return CaseView(case.name, case.label, (read, after))


def _prepared_strip(case: PreparedCase, volume: np.ndarray, mask: Region | None) -> Strip:
    was = _facts(case.stored_shape, case.stored_spacing_mm, case.plane)
    return Strip(
        title=f"prepared: {_facts(volume.shape, case.spacing_mm, None)} (read: {was})",
        slices=windowed(volume),
        numbers=_spread(range(case.slices), case.representative),
        marked=frozenset(case.representative),
        mask=mask,
        box=None,
        pixel_mm=case.spacing_mm[1:],
    )


def _facts(shape: Sequence[int], spacing_mm: tuple[float, float, float], plane: str | None) -> str:
    slices, rows, columns = shape
    between, row_mm, column_mm = spacing_mm
    kind = f"{plane} " if plane else ""
    return (
        f"{slices} {kind}slices of {rows} x {columns}, {between:.3g} mm apart, "
        f"pixels {row_mm:.3g} x {column_mm:.3g} mm"
    )


def _spread(numbers: Sequence[int], representative: Sequence[int]) -> tuple[int, ...]:
    """The slices to show: all, or some evenly spread and the representative ones."""
    if len(numbers) <= MOST_SLICES:
        return tuple(numbers)
    chosen = [number for number in representative if number in numbers][:MOST_SLICES]
    places = np.linspace(0, len(numbers) - 1, MOST_SLICES - len(chosen)).round()
    return tuple(sorted({*chosen, *(numbers[int(place)] for place in places)}))


def windowed(volume: Float[np.ndarray, "slice height width"]) -> Grey:
    """Turn a volume into grey, in one window for all of its slices."""
    values = volume.astype(np.float32)
    low, high = np.percentile(values, WINDOW)
    shares = (values - low) / max(float(high - low), 1e-6)
    return np.asarray(np.clip(255 * shares, 0, 255).astype(np.uint8))


def _row(strip: Strip) -> Image.Image:
    tiles = [_tile(strip, number) for number in strip.numbers]
    width = sum(tile.width + GAP for tile in tiles)
    image = Image.new("RGB", (width, tiles[0].height))
    left = 0
    for tile in tiles:
        image.paste(tile, (left, 0))
        left += tile.width + GAP
    return image


def _tile(strip: Strip, number: int) -> Image.Image:
    """One slice at its true proportions, with everything that is drawn over it."""
    rows, columns = strip.slices.shape[1:]
    tall, wide = rows * strip.pixel_mm[0], columns * strip.pixel_mm[1]
    scale = SIDE / max(tall, wide)
    size = (max(1, round(wide * scale)), max(1, round(tall * scale)))
    grey = Image.fromarray(strip.slices[number]).resize(size, Image.Resampling.BILINEAR)
    pixels = np.array(grey.convert("RGB"))
    if strip.mask is not None:
        region = Image.fromarray(strip.mask[number].astype(np.uint8) * 255)
        pixels[_outline(np.array(region.resize(size, Image.Resampling.NEAREST)) > 0)] = OUTLINE
    tile = Image.fromarray(pixels)
    pen = ImageDraw.Draw(tile)
    if strip.box is not None:
        row, column, height, width = strip.box
        y, x = size[1] / rows, size[0] / columns
        corners = (column * x, row * y, (column + width) * x - 1, (row + height) * y - 1)
        pen.rectangle(corners, outline=BOX)
    if number in strip.marked:
        pen.rectangle((0, 0, size[0] - 1, size[1] - 1), outline=CHOSEN)
    pen.text((3, 1), str(number + 1), fill=CHOSEN)
    return tile


def _outline(region: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    """Pixels of a region that have a neighbour outside it."""
    padded = np.pad(region, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.asarray(region & ~inside)


def png(image: Image.Image) -> bytes:
    """An image as the content of a PNG file."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _uri(image: Image.Image) -> str:
    return f"data:image/png;base64,{base64.b64encode(png(image)).decode()}"
