"""Preprocessing of one volume: bias correction, in-plane crop and resize, normalisation.

Slices are cropped away at most, never resampled: a thick slice is what was measured.
"""

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from volbench.data.preprocessing.n4 import correct_bias
from volbench.data.preprocessing.options import Preprocessing
from volbench.errors import DataError
from volbench.types import Scan, VoxelMask, Voxels

__all__ = ["Preprocessing", "crop_box", "kept_slices", "normalized", "preprocess"]

LARGEST_FLOAT16 = 65504.0
PERCENTILES = (0.5, 99.5)

Box = tuple[int, int, int, int]
"""First row, first column, rows and columns; may lie partly outside the image."""


def preprocess(scan: Scan, options: Preprocessing) -> Scan:
    """Prepare one volume.

    Args:
        scan: As read: oriented, through-plane axis first.
        options: Resolved, so without ``auto``.

    Returns:
        Image ``[channel, slice, size, size]`` in float32, within what float16 can hold; the mask
        on the same grid; the spacing and the representative slices of what is left.

    Raises:
        DataError: ``options`` need a region of interest and there is none, or N4 meets negative
            intensities.
    """
    assert options.size != "auto"
    assert options.crop != "auto"
    image = scan.image.astype(np.float32)
    if options.n4:
        corrected = [
            correct_bias(channel, scan.spacing_mm, shrink=options.n4_shrink) for channel in image
        ]
        image = np.stack(corrected)
    kept = kept_slices(scan, options)
    box = crop_box(scan, options)
    mask = scan.mask
    if mask is not None:
        mask = _resized_mask(_cut(mask[None, kept], box)[0], options.size)
    resized = _resized(_cut(image[:, kept], box), options.size)
    between_slices, row_mm, column_mm = scan.spacing_mm
    return Scan(
        image=np.clip(normalized(resized, options), -LARGEST_FLOAT16, LARGEST_FLOAT16),
        spacing_mm=(
            between_slices,
            row_mm * box[2] / options.size,
            column_mm * box[3] / options.size,
        ),
        mask=mask,
        representative=tuple(number - kept.start for number in scan.representative),
        plane=scan.plane,
        affine=_placed(scan, kept, box, options.size),
    )


def _placed(scan: Scan, kept: slice, box: Box, size: int) -> Float[np.ndarray, "4 4"] | None:
    """Follow the affine through the cut and the change of size; pixels keep their outer edges."""
    if scan.affine is None:
        return None
    row, column, rows, columns = box
    steps = np.array([1, rows / size, columns / size])
    cut = np.eye(4)
    cut[:3, :3] = np.diag(steps)
    cut[:3, 3] = np.array([kept.start, row, column]) + (steps - 1) / 2
    return np.asarray(scan.affine @ cut)


def normalized(image: Voxels, options: Preprocessing) -> Float[np.ndarray, "channel s h w"]:
    """Bring intensities to a common scale.

    The statistics run per channel over every voxel of ``image``, the repeated edge where the crop
    leaves the slice included. A channel without contrast becomes zeros.
    """
    match options.normalize:
        case "none":
            return image
        case "window":
            low, high = options.window
            return np.asarray(np.clip((image - low) / (high - low), 0, 1), np.float32)
        case "percentile":
            return np.stack([_between_percentiles(channel) for channel in image])
        case "byte":
            return np.round(255 * np.stack([_between_percentiles(channel) for channel in image]))
        case "zscore":
            return np.stack([_zscore(channel) for channel in image])


def _zscore(channel: Float[np.ndarray, "s h w"]) -> Float[np.ndarray, "s h w"]:
    mean, deviation = channel.mean(dtype=np.float64), channel.std(dtype=np.float64)
    # Interpolating a constant leaves rounding errors; they are no contrast to be blown up.
    if deviation <= 1e-6 * abs(mean) or deviation == 0:
        return np.zeros_like(channel)
    return np.asarray((channel - mean) / deviation, np.float32)


def _between_percentiles(channel: Float[np.ndarray, "s h w"]) -> Float[np.ndarray, "s h w"]:
    low, high = np.percentile(channel.astype(np.float64), PERCENTILES)
    if high - low <= 1e-6 * max(abs(low), abs(high)):
        return np.zeros_like(channel)
    return np.asarray(np.clip((channel - low) / (high - low), 0, 1), np.float32)


def _roi(scan: Scan, why: str) -> NDArray[np.bool_]:
    if scan.mask is None or not scan.mask.any():
        missing = "no mask" if scan.mask is None else "an empty mask"
        raise DataError(f"{missing}, but {why} needs a region of interest; add it or change {why}")
    return np.asarray(scan.mask, np.bool_)


def kept_slices(scan: Scan, options: Preprocessing) -> slice:
    """The slices kept: the region's and the representative ones, plus the margin, up to the most.

    Raises:
        DataError: a region of interest is needed and not there, or the representative slices do
            not fit into ``options.max_slices``.
    """
    kept = slice(0, scan.image.shape[1])
    if options.slice_margin is not None:
        region = _roi(scan, f"preprocessing.slice_margin={options.slice_margin}")
        numbers = [*np.flatnonzero(region.any(axis=(1, 2))), *scan.representative]
        kept = slice(
            max(kept.start, int(min(numbers)) - options.slice_margin),
            min(kept.stop, int(max(numbers)) + options.slice_margin + 1),
        )
    if options.max_slices is None or kept.stop - kept.start <= options.max_slices:
        return kept
    return _middle(scan, kept, options.max_slices)


def _middle(scan: Scan, kept: slice, count: int) -> slice:
    """``count`` slices of ``kept`` about the middle of the region, the representative ones too."""
    numbers = np.arange(kept.start, kept.stop)
    if scan.mask is not None and scan.mask.any():
        numbers = np.flatnonzero(scan.mask.any(axis=(1, 2)))
    first = (int(numbers[0]) + int(numbers[-1]) + 1 - count) // 2
    if scan.representative:
        lowest, highest = min(scan.representative), max(scan.representative)
        if highest - lowest >= count:
            raise DataError(
                f"representative slices {lowest} to {highest} do not fit into "
                f"preprocessing.max_slices={count}; raise it"
            )
        first = min(max(first, highest - count + 1), lowest)
    first = min(max(first, kept.start), kept.stop - count)
    return slice(first, first + count)


def crop_box(scan: Scan, options: Preprocessing) -> Box:
    """The in-plane box to keep: a square in mm, to the nearest pixel."""
    row_mm, column_mm = scan.spacing_mm[1:]
    if options.crop == "none":
        rows, columns = scan.image.shape[2:]
        return _square((0, rows), (0, columns), max(rows * row_mm, columns * column_mm), scan)
    shadow: NDArray[np.bool_] = np.any(_roi(scan, f"preprocessing.crop={options.crop}"), axis=0)
    rows, columns = (
        (int(found[0]), int(found[-1]) + 1)
        for found in (np.flatnonzero(shadow.any(axis=1)), np.flatnonzero(shadow.any(axis=0)))
    )
    if options.crop == "box":
        return _square(rows, columns, options.box_mm, scan)
    longer_mm = max((rows[1] - rows[0]) * row_mm, (columns[1] - columns[0]) * column_mm)
    return _square(rows, columns, longer_mm * (1 + 2 * options.margin), scan)


def _square(rows: tuple[int, int], columns: tuple[int, int], side_mm: float, scan: Scan) -> Box:
    """Centre a square of ``side_mm`` on the given range of rows and columns."""
    box = []
    for (first, last), pixel_mm in zip((rows, columns), scan.spacing_mm[1:], strict=True):
        length = max(1, round(side_mm / pixel_mm))
        box.append((first + last - length) // 2)
        box.append(length)
    return box[0], box[2], box[1], box[3]


def _cut(image: np.ndarray, box: Box) -> np.ndarray:
    """Cut a box out of ``[..., height, width]``; beyond the image its edge is repeated."""
    row, column, rows, columns = box
    height, width = image.shape[-2:]
    inside_rows = np.clip(np.arange(row, row + rows), 0, height - 1)
    inside_columns = np.clip(np.arange(column, column + columns), 0, width - 1)
    return image[..., inside_rows[:, None], inside_columns[None, :]]


def _resized(
    image: Float[np.ndarray, "channel slice h w"], size: int
) -> Float[np.ndarray, "channel slice size size"]:
    """Resize in-plane, averaging where pixels are merged; exact where nothing changes."""
    if image.shape[-2:] == (size, size):
        return image
    slices = rearrange(torch.from_numpy(np.ascontiguousarray(image)), "c s h w -> s c h w")
    resized = F.interpolate(
        slices, size=(size, size), mode="bilinear", align_corners=False, antialias=True
    )
    return rearrange(resized.numpy(), "s c h w -> c s h w")


def _resized_mask(mask: VoxelMask, size: int) -> Bool[np.ndarray, "slice size size"]:
    voxels = torch.from_numpy(np.ascontiguousarray(mask, np.float32))[:, None]
    return F.interpolate(voxels, size=(size, size), mode="nearest-exact")[:, 0].numpy() > 0
