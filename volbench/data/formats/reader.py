"""Read the voxels of one image, after its bytes were verified.

NIfTI, NRRD and MetaImage are decoded here, by code that bounds every number of a header. DICOM and
what volbench cannot verify go through libraries that do not, so a child with limits reads them.
"""

from pathlib import Path

from volbench.data.formats.bounded_reading import read_bounded
from volbench.data.formats.file_bytes import format_of
from volbench.data.formats.integrity import stored
from volbench.data.formats.itk_image import StoredVolume


def read_volume(path: Path, geometry: str | None = None) -> StoredVolume:
    """Read an image, once it has proved whole.

    Args:
        path: A file, or a folder holding one DICOM series.
        geometry: Which part of a NIfTI header to believe; see ``nifti.affine_of``.

    Raises:
        DataError: truncated, corrupt, not a 3D image of one number per voxel, bad spacing.
    """
    form = format_of(path)
    if form in ("dicom", "unverified"):
        return read_bounded(form, path)
    content = stored(path)
    voxels, affine = content.decode(geometry)
    return StoredVolume(voxels, affine, content.digest())
