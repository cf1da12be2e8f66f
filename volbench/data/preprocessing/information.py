"""What preparation left of a volume: refused if it is one value, or if float16 does not hold it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float16
from numpy.typing import NDArray

from volbench.data.preprocessing.operations import LARGEST_FLOAT16, preprocess
from volbench.data.preprocessing.options import Preprocessing
from volbench.errors import DataError
from volbench.types import Scan

FLAT = 0.999
"""Share of voxels of one value, from which on a channel is nearly constant."""

CLIPPING = ("window", "percentile", "byte")

LOST = 0.01
"""Share of voxels that may become 0 in float16 and were not."""

PackedVolume = Float16[np.ndarray, "slice channel size size"]


def refusal(scan: Scan, options: Preprocessing, channels: Sequence[str]) -> str | None:
    """Say why preparing a volume would be refused; None if it would not.

    The bias field is left in, as estimating it takes long and takes no information away.

    Args:
        scan: As read.
        options: Resolved, so without ``auto``; their ``transforms`` are left out.
        channels: Names of its channels.
    """
    try:
        done = preprocess(scan, replace(options, n4=False))
        voxels = np.moveaxis(done.image, 0, 1).astype(np.float16)
        require_information(done.image, voxels, channels, options)
    except DataError as error:
        return str(error)
    return None


def require_information(
    image: NDArray[Any], voxels: PackedVolume, channels: Sequence[str], options: Preprocessing
) -> None:
    """Refuse a channel of which preparation left nothing: one value, or what float16 cannot hold.

    Raises:
        DataError: with the channel, what became of it and the way out.
    """
    used = f"preprocessing.normalize={options.normalize}"
    for number, name in enumerate(channels):
        before, after = image[number], voxels[:, number]
        low, high = float(after.min()), float(after.max())
        if max(abs(low), abs(high)) >= LARGEST_FLOAT16:
            raise DataError(
                f"channel {name}: values beyond {LARGEST_FLOAT16:g} after {used}, which float16 "
                "cannot hold; use preprocessing.normalize=zscore, window or percentile"
            )
        if low == high:
            raise DataError(
                f"channel {name}: every prepared voxel is {low:g} after {used}; its values lie "
                "outside the window or percentiles, or are too small for float16: use "
                "preprocessing.normalize=zscore, or a window that holds them"
            )
        clipped = max(float(np.mean(after == edge)) for edge in (low, high))
        if options.normalize in CLIPPING and clipped >= FLAT:
            raise DataError(
                f"channel {name}: {clipped:.2%} of its prepared voxels are {_edge(after, low)} "
                f"after {used}, so nearly nothing is left; use preprocessing.normalize=zscore, or "
                "a window that holds its values"
            )
        lost = float(np.mean((before != 0) & (after == 0)))
        if lost > LOST:
            raise DataError(
                f"channel {name}: {lost:.0%} of its voxels are too small for float16 after {used}; "
                "use preprocessing.normalize=zscore, window or percentile"
            )


def _edge(voxels: NDArray[Any], low: float) -> str:
    return "the lowest value" if np.mean(voxels == low) >= FLAT else "the highest value"
