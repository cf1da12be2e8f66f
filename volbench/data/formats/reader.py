"""Read the voxels of one image by SimpleITK or nibabel, after its bytes were verified."""

import warnings
from pathlib import Path

import numpy as np

from volbench.data.formats.dicom import load_series
from volbench.data.formats.file_bytes import format_of
from volbench.data.formats.integrity import stored
from volbench.data.formats.itk_image import StoredVolume, quiet_itk, reason_of
from volbench.errors import DataError


def read_volume(path: Path, geometry: str | None = None) -> StoredVolume:
    """Read an image, once it has proved whole.

    Args:
        path: A file, or a folder holding one DICOM series.
        geometry: Which part of a NIfTI header to believe; see ``nifti.affine_of``.

    Raises:
        DataError: truncated, corrupt, not a 3D image of one number per voxel, bad spacing.
    """
    return load_series(path) if path.is_dir() else _read_file(path, geometry)


def _read_file(path: Path, geometry: str | None) -> StoredVolume:
    content = stored(path)
    if format_of(path) == "unverified":
        return _read_by_torchio(path, content.digest())
    voxels, affine = content.decode(geometry)
    return StoredVolume(voxels, affine, content.digest())


def _read_by_torchio(path: Path, digest: str) -> StoredVolume:
    """Read what volbench cannot verify, by whichever library of TorchIO's knows the format."""
    import torchio

    try:
        with quiet_itk(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = torchio.ScalarImage(path)
            tensor, affine = image.data, image.affine
    except Exception as error:  # SimpleITK, nibabel and TorchIO raise whatever they like
        raise DataError(f"{path}: cannot be read ({reason_of(error)})") from None
    if len(tensor) != 1:
        raise DataError(f"{path}: {len(tensor)} numbers per voxel; give one file per channel")
    return StoredVolume(np.asarray(tensor[0]), np.asarray(affine, float), digest)
