"""Cases that are nearly one scan: scaled in intensity, mirrored, resampled, shifted by a slice.

Every volume is reduced to thumbnails of 16 x 16 pixels a slice, brought to mean 0 and deviation 1.
Pairs that resemble one another in a coarse grid, or in their middle slices, are compared in full:
the correlation of their thumbnails, mirrored along any axes, at equal extent or shifted by up to
two slices. Scaling of intensities changes no correlation.
"""

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np
from jaxtyping import Float

from volbench._utils.digested_files import read_sealed, write_sealed
from volbench.data.cache.packed_voxels import Prepared
from volbench.data.duplicates.separated import Pair
from volbench.errors import StateError, StorageError

VERSION = 1
SIDE = 16
GRID = 8
COARSE = 0.95
"""Correlation of coarse grids, or of middle slices, from which on a pair is compared in full."""
SAME = 0.98
"""Correlation of thumbnails from which on two volumes are taken for one scan."""
SHIFT = 2
MOST = 5_000
"""Pairs that are compared in full, the most alike first."""
MANY = 3
"""What resembles more other patients than these is how this cohort looks, and no copy."""
BLOCK = 1024
FLIPS = tuple(product((1, -1), repeat=3))

SQUARED = (1e-12, 1e12)
"""Sizes of values between which sums of squares neither vanish nor overflow in float32."""

Thumbnail = Float[np.ndarray, "_ _ _"]


def thumbnail(volume: Float[np.ndarray, "_ _ _"]) -> Thumbnail:
    """Average the pixels of each slice into a small image.

    Values whose squares float32 cannot hold are brought to at most 1, which no correlation sees.
    """
    volume = np.asarray(volume, np.float32)
    peak = max(abs(float(volume.min())), abs(float(volume.max())))
    if peak and not SQUARED[0] < peak < SQUARED[1]:
        volume = (volume.astype(np.float64) / peak).astype(np.float32)
    rows, columns = (_shares(size) for size in volume.shape[1:])
    return np.asarray(rows @ volume @ columns.T, np.float32)


@lru_cache(maxsize=16)
def _shares(size: int) -> Float[np.ndarray, "_ _"]:
    """What share each pixel has in each of the thumbnail's, by overlap; the same from both ends."""
    edges = np.linspace(0, size, SIDE + 1)
    pixels = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.asarray(np.maximum(overlap, 0) * SIDE / size, np.float32)


def similar_pairs(thumbnails: Sequence[Thumbnail], patients: Sequence[str]) -> list[Pair]:
    """Pairs of cases of different patients that are nearly one scan.

    Args:
        thumbnails: One per case.
        patients: Of each case; two cases of one patient may well look alike.
    """
    candidates = sorted(_candidates(thumbnails, patients), key=lambda found: -found[0])[:MOST]
    pairs = sorted(
        (one, other)
        for _, one, other in candidates
        if resemblance(thumbnails[one], thumbnails[other]) >= SAME
    )
    others = Counter(index for pair in pairs for index in pair)
    return [pair for pair in pairs if min(others[index] for index in pair) <= MANY]


def similar_pairs_cached(prepared: Prepared, cache: Path) -> list[Pair]:
    """Search prepared data once; the result is kept in the cache, with its digest.

    A volume of several channels is judged by the first.
    """
    patients = [case.patient for case in prepared.cases]
    name = f"{prepared.voxels_digest[:32]}-{VERSION}.sealed"
    path = cache / "similar" / name
    with suppress(StateError, ValueError, KeyError):
        known = json.loads(read_sealed(path))
        if known["patients"] == patients:
            return [(one, other) for one, other in known["pairs"]]
    images = [thumbnail(np.asarray(prepared.volume(index)[:, 0])) for index in range(len(patients))]
    found = similar_pairs(images, patients)
    with suppress(StorageError):
        write_sealed(path, json.dumps({"patients": patients, "pairs": found}).encode())
    return found


def resemblance(one: Thumbnail, other: Thumbnail) -> float:
    """Largest correlation of two volumes, mirrored, at equal extent or shifted by a few slices."""
    best = -1.0
    for flip in FLIPS:
        mirrored = other[:: flip[0], :: flip[1], :: flip[2]]
        best = max(best, _correlation(one, _resampled(mirrored, len(one))))
        if abs(len(one) - len(other)) <= SHIFT:
            for shift in range(-SHIFT, SHIFT + 1):
                first, second = max(0, shift), max(0, -shift)
                count = min(len(one) - first, len(other) - second)
                if count >= max(2, min(len(one), len(other)) - SHIFT):
                    pieces = one[first : first + count], mirrored[second : second + count]
                    best = max(best, _correlation(*pieces))
    return best


def _candidates(
    thumbnails: Sequence[Thumbnail], patients: Sequence[str]
) -> list[tuple[float, int, int]]:
    """Pairs alike in coarse grids or middle slices, with how much."""
    grids = np.stack([_grid(image) for image in thumbnails])
    middles = np.stack([_middles(image) for image in thumbnails])
    owners = np.unique(np.asarray(patients), return_inverse=True)[1]
    found: list[tuple[float, int, int]] = []
    for start in range(0, len(grids), BLOCK):
        alike = np.full((min(BLOCK, len(grids) - start), len(grids)), -1.0, np.float32)
        rows = slice(start, start + BLOCK)
        for flip in FLIPS:
            turned = grids[:, :: flip[0], :: flip[1], :: flip[2]].reshape(len(grids), -1)
            np.maximum(
                alike, _unit(grids[rows].reshape(len(alike), -1)) @ _unit(turned).T, out=alike
            )
        centre = _unit(middles[rows, SHIFT].reshape(len(alike), -1))
        for place, flip in product(range(2 * SHIFT + 1), product((1, -1), repeat=2)):
            turned = middles[:, place, :: flip[0], :: flip[1]].reshape(len(grids), -1)
            np.maximum(alike, centre @ _unit(turned).T, out=alike)
        alike[np.arange(len(grids))[None] <= np.arange(start, start + len(alike))[:, None]] = -1
        alike[owners[rows][:, None] == owners[None]] = -1
        for row, column in zip(*np.nonzero(alike >= COARSE), strict=True):
            found.append((float(alike[row, column]), start + int(row), int(column)))
    return found


def _grid(image: Thumbnail) -> Float[np.ndarray, "8 8 8"]:
    small = image.reshape(len(image), GRID, 2, GRID, 2).mean(axis=(2, 4))
    return _resampled(small, GRID)


def _middles(image: Thumbnail) -> Float[np.ndarray, "_ _ _"]:
    """The middle slice and its neighbours; ends are repeated."""
    middle = len(image) // 2 + np.arange(-SHIFT, SHIFT + 1)
    return image[np.clip(middle, 0, len(image) - 1)]


def _resampled(image: Thumbnail, count: int) -> Thumbnail:
    """Another number of slices over the same extent, by linear interpolation."""
    if len(image) == count:
        return image
    places = np.clip((np.arange(count) + 0.5) * len(image) / count - 0.5, 0, len(image) - 1)
    lower = places.astype(int)
    upper = np.minimum(lower + 1, len(image) - 1)
    share = (places - lower)[:, None, None].astype(np.float32)
    return np.asarray(image[lower] * (1 - share) + image[upper] * share)


def _unit(rows: Float[np.ndarray, "_ _"]) -> Float[np.ndarray, "_ _"]:
    """Mean 0 and length 1, so that products are correlations; constants stay 0."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(np.divide(centred, length, out=np.zeros_like(centred), where=length > 1e-6))


def _correlation(one: Thumbnail, other: Thumbnail) -> float:
    pair = _unit(np.stack([one.ravel(), other.ravel()]))
    return float(pair[0] @ pair[1])
