"""What preparation did to a data set that a person should know: enlarged slices, padding."""

from collections.abc import Iterator, Sequence

from volbench._utils.text import plural
from volbench.data.cache.packed_voxels import Prepared, PreparedCase

ENLARGED = 1.5
"""Pixels made of one along an axis, from which on it is said."""

PADDED = 0.25
"""Share of a prepared slice that lies beyond the image, from which on it is said."""

NAMED = 3


def prepared_notes(prepared: Prepared) -> Iterator[str]:
    """Say it in one line each, with the first cases and the way out."""
    grown = [(case, found) for case in prepared.cases if (found := enlargement(case)) > ENLARGED]
    if grown:
        most, factor = max(grown, key=lambda pair: pair[1])
        size = prepared.voxels.shape[-1]
        crop = prepared.preprocessing.crop
        side = _smaller(size, factor)
        rows, columns = most.stored_shape[1:] if crop == "none" else (side, side)
        what = "pixels" if crop == "none" else "cropped pixels"
        yield (
            f"{_counted(grown, prepared)} are enlarged in-plane, up to {factor:.1f}-fold "
            f"({rows} x {columns} {what} of {most.name} to {size} x {size}): {_names(grown)}; "
            f"{_ways_out(crop, side)}"
        )
    size = prepared.voxels.shape[-1]
    padded = [(case, found) for case in prepared.cases if (found := padding(case, size)) > PADDED]
    if padded:
        yield (
            f"{_counted(padded, prepared)} are padded to a square by repeating their edge, up to "
            f"{max(found for _, found in padded):.0%} of a slice: {_names(padded)}; "
            + (
                "they end within the box: a smaller preprocessing.box_mm avoids it"
                if prepared.preprocessing.crop == "box"
                else "crop to a region of interest to avoid it"
            )
        )


def enlargement(case: PreparedCase) -> float:
    """How many prepared pixels one stored pixel became along an axis."""
    return max(
        stored / made
        for stored, made in zip(case.stored_spacing_mm[1:], case.spacing_mm[1:], strict=True)
    )


def padding(case: PreparedCase, size: int) -> float:
    """Share of a prepared slice that is longer than the image, along its shorter axis."""
    shares = [
        1 - pixels * stored / (size * made)
        for pixels, stored, made in zip(
            case.stored_shape[1:], case.stored_spacing_mm[1:], case.spacing_mm[1:], strict=True
        )
    ]
    return max(0.0, *shares)


def _ways_out(crop: str, side: int) -> str:
    """What avoids it: a crop to each mask hides how large the region is, besides."""
    if crop == "roi":
        return (
            "each crop is as large as its mask, so that a small region looks like a large one: "
            "preprocessing.crop=box with preprocessing.box_mm keeps one scale for all"
        )
    return f"it adds cost and no information; preprocessing.size={side} avoids it"


def _smaller(size: int, factor: float) -> int:
    return max(1, round(size / factor))


def _counted(found: Sequence[tuple[PreparedCase, float]], prepared: Prepared) -> str:
    return f"{len(found)} of {plural(len(prepared.cases), 'case')}"


def _names(found: Sequence[tuple[PreparedCase, float]]) -> str:
    return ", ".join(case.name for case, _ in found[:NAMED]) + (", ..." if found[NAMED:] else "")
