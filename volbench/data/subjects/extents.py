"""Extents of a mask in mm: of the region as a whole, and of each of its labels."""

import numpy as np
from numpy.typing import NDArray

Extent = tuple[float, float, float]
"""Across slices, rows and columns, from the first voxel to the last one."""

MOST_LABELS = 32
"""A mask of more values than this, or of fractions, is no label map."""


def extent(region: NDArray[np.bool_], spacing_mm: Extent) -> Extent:
    """Measure a region along each axis.

    >>> region = np.zeros((4, 6, 6), bool)
    >>> region[1:3, 2, 1:5] = True
    >>> extent(region, (3.0, 0.5, 0.5))
    (6.0, 0.5, 2.0)
    """
    sides = []
    for axis, spacing in enumerate(spacing_mm):
        others = tuple(other for other in range(region.ndim) if other != axis)
        inside = np.flatnonzero(region.any(axis=others))
        sides.append(float((inside[-1] - inside[0] + 1) * spacing))
    return sides[0], sides[1], sides[2]


def label_extents(labels: NDArray[np.generic], spacing_mm: Extent) -> dict[int, Extent]:
    """Measure each label of a mask; none for a mask of one label.

    >>> labels = np.zeros((4, 6, 6), np.uint8)
    >>> labels[1:3, 2, 1:5], labels[0, 0, 0] = 1, 2
    >>> label_extents(labels, (3.0, 0.5, 0.5))
    {1: (6.0, 0.5, 2.0), 2: (3.0, 0.5, 0.5)}
    """
    values = np.unique(labels)
    values = values[values > 0]
    if not 1 < len(values) <= MOST_LABELS or (values != np.rint(values)).any():
        return {}
    return {int(value): extent(labels == value, spacing_mm) for value in values}
