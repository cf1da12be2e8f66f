"""Images sorted into one folder per class.

Source: the layout of torchvision's ``ImageFolder``.
"""

from collections.abc import Sequence
from pathlib import Path

from volbench.errors import DataError
from volbench.interfaces import Card, Case, Dataset, Files

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")


class ClassFolders(Dataset):
    """``PATH/CLASS/NAME.nii.gz``: the folder is the label, the name of the file is the patient.

    Args:
        path: The folder that holds one folder per class.
        separator: The patient is the file's name up to it, so that ``p01_left`` and ``p01_right``
            are never in two folds; empty: each file is a patient of its own.

    Raises:
        DataError: there are not two folders with images.
    """

    card = Card(
        title="Images sorted into class folders",
        licence="that of the images",
        citation="that of the images",
    )

    def __init__(self, *, path: str, separator: str = "") -> None:
        self.path, self.separator = Path(path).resolve(), separator
        self.files = [
            file for file in sorted(self.path.glob("*/*")) if file.name.endswith(SUFFIXES)
        ]
        self.classes = tuple(sorted({file.parent.name for file in self.files}))
        if len(self.classes) < 2:
            raise DataError(
                f"{path}: needs two folders with images in {', '.join(SUFFIXES)}, "
                f"but has {len(self.classes)}"
            )

    def cases(self) -> Sequence[Case]:
        """List the cases; reads no voxels."""
        return [self._case(file) for file in self.files]

    def _case(self, file: Path) -> Case:
        name = next(file.name.removesuffix(end) for end in SUFFIXES if file.name.endswith(end))
        return Case(
            name=f"{file.parent.name}/{name}",
            patient=name.split(self.separator)[0] if self.separator else name,
            label=file.parent.name,
            source=Files(images=(file,)),
        )
