"""Intensity features of a prepared volume: moments and percentiles."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from volbench.audit.columns import Column
from volbench.data.cache.packed_voxels import Prepared

OnCase = Callable[[int, int], None]

PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)
NAMES = ("mean", "std", "skewness", *(f"p{share:02d}" for share in PERCENTILES))


def intensity_columns(prepared: Prepared, on_case: OnCase | None = None) -> tuple[Column, ...]:
    """Describe the voxels of every case, channel by channel.

    One volume is in memory at a time, whatever the size of the cache.

    Args:
        prepared: The volumes as a network gets them.
        on_case: Called with the number of cases done and their total.
    """
    rows = []
    for index in range(len(prepared.cases)):
        volume = prepared.volume(index)
        channels = range(len(prepared.channels))
        rows.append(np.concatenate([describe_voxels(volume[:, at].ravel()) for at in channels]))
        if on_case:
            on_case(index + 1, len(prepared.cases))
    several = len(prepared.channels) > 1
    names = [
        f"{channel} {name}" if several else name for channel in prepared.channels for name in NAMES
    ]
    table = np.stack(rows)
    return tuple(Column(name, numbers=table[:, at]) for at, name in enumerate(names))


def describe_voxels(voxels: Float[np.ndarray, " voxel"]) -> Float[np.ndarray, " statistic"]:
    """Compute the statistics named in ``NAMES``; the skewness of constant voxels is 0."""
    values = voxels.astype(np.float64)
    mean, std = values.mean(), values.std()
    skewness = ((values - mean) ** 3).mean() / std**3 if std > 0 else 0.0
    return np.array([mean, std, skewness, *np.percentile(values, PERCENTILES)])
