"""The volumes of a packed cache as nii.gz files, and how others read them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from volbench.data.cache.packed_voxels import Prepared


def write_files(prepared: Prepared, folder: Path) -> list[Path]:
    """Write each volume as 16-bit levels, 200 to a unit.

    Raises:
        ModuleNotFoundError: SimpleITK is not installed.
    """
    import SimpleITK

    files = []
    for index in range(len(prepared.cases)):
        levels = np.round(200 * prepared.volume(index)[:, 0].astype(np.float32))
        image = SimpleITK.GetImageFromArray(levels.astype(np.int16))
        image.SetSpacing(prepared.cases[index].spacing_mm[::-1])
        files.append(folder / f"{index}.nii.gz")
        SimpleITK.WriteImage(image, str(files[-1]))
    return files


def read_by_simpleitk(path: Path) -> Tensor:
    """A file as [slice, row, column]."""
    import SimpleITK

    image = SimpleITK.ReadImage(str(path), SimpleITK.sitkFloat32)
    return torch.from_numpy(SimpleITK.GetArrayFromImage(image))


def read_by_torchio(path: Path) -> Tensor:
    """A file as [slice, row, column]."""
    import torchio as tio

    return tio.ScalarImage(path).data[0].float().permute(2, 1, 0)


class Files(Dataset):
    """Reads a file and changes it; for worker processes."""

    def __init__(self, files: list[Path], transform: Callable[[Tensor], Tensor]) -> None:
        self._files, self._transform = files, transform

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Tensor:
        torch.set_num_threads(1)
        return self._transform(read_by_torchio(self._files[index]))
