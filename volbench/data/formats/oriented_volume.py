"""Volumes as SimpleITK reads them: turned to one orientation, with the grid they lie on."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from volbench.data.formats.file_bytes import format_of
from volbench.data.formats.integrity import stored
from volbench.errors import DataError

READERS = {"nifti": "NiftiImageIO", "nrrd": "NrrdImageIO", "meta": "MetaImageIO"}
GRID_TOLERANCE = 0.1
TIE = 0.01
PLANES = ("sagittal", "coronal", "axial")


@dataclass(frozen=True)
class OrientedVolume:
    """One image with its axes along left, posterior and superior (LPS), as closely as flips allow.

    Attributes:
        path: Where it came from, for messages.
        voxels: Slowest axis first: superior, posterior, left.
        affine: Index (left, posterior, superior) to position in mm.
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


def load_file(path: Path) -> tuple[OrientedVolume, str]:
    """Read a file, once it has proved whole; also its digest.

    Raises:
        DataError: truncated, corrupt, not a 3D image of one number per voxel, NaN, bad spacing.
    """
    import SimpleITK as sitk

    content = stored(path)
    content.verify()
    reader = sitk.ImageFileReader()
    reader.SetImageIO(READERS[format_of(path)])
    reader.SetFileName(str(path))
    try:
        with quiet_itk():
            image = reader.Execute()
    except RuntimeError as error:
        raise DataError(f"{path}: cannot be read ({reason_of(error)})") from None
    return from_itk(image, path), content.digest()


def from_itk(image: Any, path: Path) -> OrientedVolume:
    """Turn a SimpleITK image to LPS; its voxels become float32.

    Raises:
        DataError: not a 3D image of one finite number per voxel.
    """
    import SimpleITK as sitk

    if image.GetNumberOfComponentsPerPixel() != 1:
        count = image.GetNumberOfComponentsPerPixel()
        raise DataError(
            f"{path}: {count} numbers per voxel (RGB or vectors); give one file per channel"
        )
    while image.GetDimension() > 3 and image.GetSize()[-1] == 1:
        image = image[..., 0]  # a fourth axis of length one says nothing
    if image.GetDimension() != 3:
        raise DataError(
            f"{path}: a {image.GetDimension()}D image; give one 3D volume per file and channel"
        )
    if "complex" in image.GetPixelIDTypeAsString():
        raise DataError(f"{path}: complex numbers; export magnitude images")
    turned = sitk.DICOMOrient(image, "LPS")
    before = np.array(image.GetDirection(), float).reshape(3, 3)
    after = np.array(turned.GetDirection(), float).reshape(3, 3)
    cosines = before.T @ after  # flips and swaps only: one entry of each column is 1 or -1
    axes = np.abs(cosines).argmax(0)
    affine = np.eye(4)
    affine[:3, :3] = after * np.array(turned.GetSpacing())
    affine[:3, 3] = turned.GetOrigin()
    with np.errstate(over="ignore"):  # beyond float32 becomes infinite, and is refused just below
        voxels = sitk.GetArrayFromImage(turned).astype(np.float32)
    if not np.isfinite(voxels).all():
        raise DataError(f"{path}: NaN or infinite voxels; replace them before use")
    return OrientedVolume(
        path=path,
        voxels=voxels,
        affine=affine,
        stored_axis=(int(axes[0]), int(axes[1]), int(axes[2])),
        flipped=tuple(bool(cosines[axes[axis], axis] < 0) for axis in range(3)),  # type: ignore[arg-type]
    )


@contextmanager
def quiet_itk() -> Iterator[None]:
    """Keep ITK's warnings off the terminal; volbench checks what matters in them itself."""
    import SimpleITK as sitk

    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def reason_of(error: Exception) -> str:
    """The last sentence of an ITK error, on one line, without addresses in memory."""
    words = str(error).split("ERROR:")[-1].split("): ", 1)[-1].split()
    text = " ".join(words).rstrip(".")
    return text if len(text) <= 160 else "..." + text[-157:]


def _shape(raster: OrientedVolume) -> str:
    return "x".join(map(str, raster.voxels.shape[::-1]))
