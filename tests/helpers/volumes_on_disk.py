"""Small volumes written with SimpleITK and pydicom, for tests that read them back."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from volbench.interfaces import Case, Files

SPACING = (0.5, 0.6, 3.0)
SHAPE = (6, 12, 10)
STUDY, SERIES = generate_uid(), generate_uid()


def voxels(shape: tuple[int, ...] = SHAPE, kind: str = "<f4") -> np.ndarray:
    """Every voxel differs from every other, so that no flip or swap goes unnoticed."""
    return np.arange(1, 1 + np.prod(shape)).reshape(shape).astype(kind)


def image(
    array: np.ndarray | None = None,
    *,
    spacing: tuple[float, ...] = SPACING,
    origin: tuple[float, ...] = (-7.0, 11.0, 30.0),
    direction: tuple[float, ...] = (1, 0, 0, 0, 1, 0, 0, 0, 1),
) -> sitk.Image:
    """An image of ``array`` [slice, row, column]; spacing, origin, direction in x, y, z."""
    made = sitk.GetImageFromArray(voxels() if array is None else array)
    made.SetSpacing(spacing)
    made.SetOrigin(origin)
    made.SetDirection(direction)
    return made


def write(path: Path, made: sitk.Image | None = None, *, compressed: bool = False) -> Path:
    sitk.WriteImage(image() if made is None else made, str(path), compressed)
    return path


def box(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """A region of interest."""
    mask = np.zeros(shape, np.uint8)
    mask[1:3, 2:5, 3:7] = 1
    return mask


def case(*images: Path, mask: Path | None = None, plane: str | None = None, **others) -> Case:
    return Case("one", "patient", "benign", Files(images, mask, plane), **others)


def slice_dataset(number: int, *, gap: float = 3.0) -> Dataset:
    """One slice of a series; its pixels are 1000 times its number, plus where they are."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = MRImageStorage
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = generate_uid()
    made.StudyInstanceUID, made.SeriesInstanceUID = STUDY, SERIES
    made.Modality, made.PatientID, made.PatientName = "MR", "p", "p"
    made.InstanceNumber = number + 1
    made.Rows, made.Columns = SHAPE[1:]
    made.PixelSpacing = [SPACING[1], SPACING[0]]
    made.SliceThickness = gap
    made.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    made.ImagePositionPatient = [-7.0, 11.0, 30.0 + gap * number]
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 16
    made.HighBit, made.PixelRepresentation = 15, 0
    made.PixelData = (voxels(SHAPE[1:], "<u2") + 1000 * number).astype("<u2").tobytes()
    return made


def write_series(
    folder: Path, *, count: int = 6, change: Callable[[int, Dataset], Dataset | None] | None = None
) -> Path:
    """Write a series of ``count`` slices; ``change`` may edit one, or leave it out by None."""
    folder.mkdir()
    for number in range(count):
        made: Dataset | None = slice_dataset(number)
        if change is not None and made is not None:
            made = change(number, made)
        if made is not None:
            made.save_as(folder / f"slice{number}.dcm", enforce_file_format=True)
    return folder
