"""Read what volbench cannot verify, by the libraries behind TorchIO and in its order."""

from pathlib import Path
from typing import Any

import numpy as np

from volbench.data.formats.integrity import stored
from volbench.data.formats.itk_image import StoredVolume, from_itk, quiet_itk, reason_of
from volbench.errors import DataError


def load_unverified(path: Path) -> StoredVolume:
    """Read an image by SimpleITK, else by nibabel.

    Raises:
        DataError: neither can, or it is no 3D image of one number per voxel.
    """
    import SimpleITK as sitk

    digest = stored(path).digest()
    try:
        with quiet_itk():
            image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        return _by_nibabel(path, digest, reason_of(error))
    return from_itk(image, path, digest)


def _by_nibabel(path: Path, digest: str, reason: str) -> StoredVolume:
    from nibabel import load

    try:
        image: Any = load(str(path), mmap=False)
        shape = tuple(image.shape)
        affine = np.asarray(image.affine, float)
    except MemoryError:
        raise
    except Exception:
        raise DataError(f"{path}: cannot be read ({reason})") from None
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) == 4:
        raise DataError(f"{path}: {shape[3]} numbers per voxel; give one file per channel")
    if len(shape) != 3:
        raise DataError(f"{path}: a {len(shape)}D image; give one 3D volume per file and channel")
    try:
        voxels = image.get_fdata(dtype=np.float32)
    except MemoryError:
        raise
    except Exception as error:
        raise DataError(f"{path}: cannot be read ({reason_of(error)})") from None
    return StoredVolume(np.asarray(voxels).reshape(shape), affine, digest)
