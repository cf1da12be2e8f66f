"""Reorientation of volumes and their grid, by flips and axis swaps only."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from volbench.data.formats.itk_image import LPS_TO_RAS
from volbench.errors import DataError

GRID_TOLERANCE = 0.1
TIE = 0.01
PLANES = ("sagittal", "coronal", "axial")
OPPOSITE = {"L": "R", "P": "A", "S": "I"}


@dataclass(frozen=True)
class OrientedVolume:
    """One image with its axes along left, posterior and superior (LPS), as closely as flips allow.

    Attributes:
        path: Where it came from, for messages.
        voxels: Slowest axis first: superior, posterior, left.
        affine: Index (left, posterior, superior) to position in mm, in LPS too.
        stored_axis: For each of left, posterior, superior: the axis it is in the file.
        flipped: For each of them: whether the file counts the other way.
    """

    path: Path
    voxels: Float[np.ndarray, "superior posterior left"]
    affine: Float[np.ndarray, "4 4"]
    stored_axis: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """Distance between voxels along left, posterior, superior."""
        return tuple(float(step) for step in np.linalg.norm(self.affine[:3, :3], axis=0))

    def through_plane(self, plane: str | None) -> int:
        """Which axis runs across the slices: 0 for left, 1 for posterior, 2 for superior.

        It is the one with the largest spacing. Where two axes share the largest spacing (within one
        percent), pixels are as coarse as slices or coarser, and no spacing tells them apart; there
        it is the third axis of the file, which is what scanners and converters write.
        """
        if plane is not None:
            return PLANES.index(plane)
        spacing = self.spacing_mm
        coarsest = [axis for axis in range(3) if spacing[axis] >= max(spacing) * (1 - TIE)]
        return coarsest[0] if len(coarsest) == 1 else self.stored_axis.index(2)

    def require_grid_of(self, other: "OrientedVolume", role: str) -> None:
        """Refuse an image whose voxels do not lie on those of ``other``.

        Raises:
            DataError: another size, or a corner more than a tenth of a voxel away.
        """
        way_out = f"resample it to the grid of {other.path.name}"
        if self.voxels.shape != other.voxels.shape:
            raise DataError(
                f"{self.path}: the {role} has {_shape(self)} voxels, the image "
                f"{other.path.name} has {_shape(other)}; {way_out}"
            )
        ends = [(0, size - 1) for size in self.voxels.shape[::-1]]
        corners = np.array([[*corner, 1] for corner in product(*ends)], float).T
        seen = np.linalg.solve(other.affine, self.affine @ corners)
        away = float(np.abs(seen - corners).max())
        if not away <= GRID_TOLERANCE:
            steps = " x ".join(f"{step:.4g}" for step in self.spacing_mm)
            others = " x ".join(f"{step:.4g}" for step in other.spacing_mm)
            reason = f"spacing {steps} against {others} mm, " if steps != others else ""
            raise DataError(
                f"{self.path}: the {role} is off the grid of {other.path.name} by "
                f"{away:.3g} voxels ({reason}origin or direction); {way_out}"
            )


def orient(voxels: NDArray[Any], affine: Float[np.ndarray, "4 4"], path: Path) -> OrientedVolume:
    """Turn a volume to LPS; its voxels become float32.

    Args:
        voxels: Width, height, depth, as TorchIO has them.
        affine: Their index to position in mm, in RAS.
        path: Where it came from, for messages.

    Raises:
        DataError: NaN or infinite voxels, also after the change to float32.
    """
    to_lps = np.eye(4)
    to_lps[:3, :3] = LPS_TO_RAS
    stored = to_lps @ affine
    axes, flipped = _axes_of(stored)
    turned = np.eye(4)
    for axis, (source, flip) in enumerate(zip(axes, flipped, strict=True)):
        column = stored[:3, source]
        turned[:3, axis] = -column if flip else column
    corner = np.zeros(3)
    for source, flip in zip(axes, flipped, strict=True):
        corner[source] = voxels.shape[source] - 1 if flip else 0
    turned[:3, 3] = stored[:3, :3] @ corner + stored[:3, 3]
    steps = tuple(slice(None, None, -1) if flip else slice(None) for flip in flipped[::-1])
    with np.errstate(over="ignore"):  # beyond float32 becomes infinite, and is refused just below
        seen = voxels.transpose(axes[::-1])[steps].astype(np.float32)
    if not np.isfinite(seen).all():
        raise DataError(f"{path}: NaN or infinite voxels; replace them before use")
    return OrientedVolume(path, seen, turned, axes, flipped)


def _axes_of(
    stored: Float[np.ndarray, "4 4"],
) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """Which stored axis runs to left, posterior and superior, and whether it counts backwards."""
    import SimpleITK as sitk

    directions = stored[:3, :3] / np.linalg.norm(stored[:3, :3], axis=0)
    code = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(
        directions.ravel().tolist()
    )
    axes, flipped = [], []
    for wanted, opposite in OPPOSITE.items():
        axis = next(number for number, letter in enumerate(code) if letter in (wanted, opposite))
        axes.append(axis)
        flipped.append(code[axis] == opposite)
    return (axes[0], axes[1], axes[2]), (flipped[0], flipped[1], flipped[2])


def _shape(volume: OrientedVolume) -> str:
    return "x".join(map(str, volume.voxels.shape[::-1]))
