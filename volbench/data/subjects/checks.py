"""What a case must be before it is prepared: contrast, slices that are there, a place in space."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from volbench.errors import DataError

if TYPE_CHECKING:
    import torchio


def require_contrast(name: str, voxels: NDArray[Any]) -> None:
    """Refuse a volume of one value.

    Raises:
        DataError: with its name and the value.
    """
    low, high = float(voxels.min()), float(voxels.max())
    if low == high:
        raise DataError(f"{name}: every voxel is {low:g}; there is nothing to learn from it")


def require_slices(name: str, numbers: Sequence[int], count: int) -> None:
    """Refuse numbers of slices that are not there.

    Raises:
        DataError: with the first such number.
    """
    for number in numbers:
        if not 0 <= number < count:
            raise DataError(
                f"{name}: representative slice {number} of {count} slices; "
                f"slices count from 0 to {count - 1}"
            )


def require_placed(image: "torchio.Image", path: Path) -> None:
    """Refuse an affine that places no volume: missing, singular or not a number."""
    affine = np.asarray(image.affine)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise DataError(f"{path}: its affine {affine[:3].tolist()} places no volume; correct it")
