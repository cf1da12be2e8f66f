"""SimpleITK images as NumPy arrays, with the affine of TorchIO and NIfTI."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from volbench.errors import DataError

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True, eq=False)
class StoredVolume:
    """One channel as its file holds it: axes in the file's order, numbers in the file's type.

    Attributes:
        voxels: First axis fastest in the file, as TorchIO has it (width, height, depth).
        affine: Voxel index to position in mm: right, anterior, superior (RAS).
        digest: SHA-256 over the content.
    """

    voxels: NDArray[Any]
    affine: Float[np.ndarray, "4 4"]
    digest: str


def from_itk(image: Any, path: Path, digest: str) -> StoredVolume:
    """Take the voxels and the affine out of a SimpleITK image.

    Raises:
        DataError: not a 3D image of one real number per voxel.
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
    affine = np.eye(4)
    direction = np.array(image.GetDirection(), float).reshape(3, 3)
    affine[:3, :3] = LPS_TO_RAS @ direction * np.array(image.GetSpacing())
    affine[:3, 3] = LPS_TO_RAS @ np.array(image.GetOrigin())
    return StoredVolume(sitk.GetArrayFromImage(image).T, affine, digest)


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
