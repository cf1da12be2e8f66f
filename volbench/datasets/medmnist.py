"""MedMNIST v2, the 3D sets, from their npz files (Yang et al., 2023, 10.1038/s41597-022-01721-8).

The numbers of the classes and their names, some shortened, are facts of the medmnist package.
"""

import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8

from volbench._utils.file_state import FileState
from volbench._utils.regular_file import require_regular
from volbench._utils.remembered_digest import remembered_digest
from volbench.errors import DataError
from volbench.interfaces import Card, Case, Dataset, Generated
from volbench.types import Scan

SPLITS = ("train", "val", "test")
CLASSES: Mapping[str, tuple[str, ...]] = {
    "adrenalmnist3d": ("normal", "hyperplasia"),
    "fracturemnist3d": ("buckle", "nondisplaced", "displaced"),
    "nodulemnist3d": ("benign", "malignant"),
    "organmnist3d": (
        "liver",
        "kidney-right",
        "kidney-left",
        "femur-right",
        "femur-left",
        "bladder",
        "heart",
        "lung-right",
        "lung-left",
        "spleen",
        "pancreas",
    ),
    "synapsemnist3d": ("inhibitory", "excitatory"),
    "vesselmnist3d": ("vessel", "aneurysm"),
}


@dataclass(frozen=True)
class NpzVolume(Generated):
    """One volume of the file; holds where it is, not what it is."""

    path: Path
    split: str
    index: int
    keep_every: int

    def fingerprint(self) -> str:
        """The file's digest and the volume's place in it."""
        with _reading(self.path):
            require_regular(self.path)
            digest = remembered_digest(self.path)
        return f"{digest} {self.split} {self.index} {self.keep_every}"

    def render(self) -> Scan:
        """Take every ``keep_every``-th slice, the middle ones of their groups."""
        volume = _images(*_version(self.path), self.split)[self.index]
        first = (len(volume) - 1) % self.keep_every // 2
        kept = volume[first :: self.keep_every]
        return Scan(
            image=kept[None].astype(np.float32), spacing_mm=(float(self.keep_every), 1.0, 1.0)
        )


class MedMNIST(Dataset):
    """A 3D set of MedMNIST with its official split, as folds ``train``, ``val`` and ``test``.

    The files name no patients: every volume stands for one. AdrenalMNIST3D holds both glands of
    most patients, disjoint between the official parts only; use those for it.

    Volumes are isotropic; dropping slices makes them anisotropic. Spacings are in voxels, for the
    files give none in mm.

    Args:
        path: The npz file, e.g. ``adrenalmnist3d.npz`` or ``adrenalmnist3d_64.npz``; classes have
            names if the file still has its own.
        keep_every: Keep one slice of so many, along the first axis.

    Raises:
        DataError: not such a file.
        ValueError: ``keep_every`` is below 1.

    >>> import numpy as np
    >>> parts = {f"{part}_images": np.zeros((2, 8, 8, 8), np.uint8) for part in SPLITS}
    >>> labels = {f"{part}_labels": np.array([[0], [1]], np.uint8) for part in SPLITS}
    >>> np.savez("adrenalmnist3d.npz", **parts, **labels)  # as it is downloaded
    >>> data = MedMNIST(path="adrenalmnist3d.npz", keep_every=4)
    >>> data.classes, [case.fold for case in data.cases()]
    (('normal', 'hyperplasia'), ['train', 'train', 'val', 'val', 'test', 'test'])
    """

    def __init__(self, *, path: str, keep_every: int = 1) -> None:
        if keep_every < 1:
            raise ValueError(f"keep_every must be at least 1, but got {keep_every=}")
        self._path = Path(path)
        self._keep_every = keep_every
        shapes, self._labels = _outline(self._path)
        if keep_every > shapes["train"][1]:
            raise ValueError(
                f"keep_every must be at most the {shapes['train'][1]} slices of {path}, "
                f"but got {keep_every=}"
            )
        _, _, height, width = shapes["train"]
        self.native_size = height if height == width else None
        name = self._path.stem.lower().partition("_")[0]
        count = 1 + max(int(labels.max(initial=0)) for labels in self._labels.values())
        named = CLASSES.get(name, ())
        self.classes = named if len(named) >= count else tuple(map(str, range(max(count, 2))))
        self.card = Card(
            title=f"{self._path.stem} (MedMNIST v2)",
            licence="CC BY 4.0",
            citation="Yang et al.: MedMNIST v2 - A large-scale lightweight benchmark for 2D and 3D "
            "biomedical image classification. Scientific Data 10, 41 (2023)",
            url="https://medmnist.com",
            about_patients="MedMNIST names no patients, so each volume counts as one; where people "
            "have several, as both glands in AdrenalMNIST3D, intervals are too narrow",
        )

    def cases(self) -> Sequence[Case]:
        """Training, validation and test volumes, in the order of the file."""
        return [
            Case(
                name=f"{split}-{index:05d}",
                patient=f"{split}-{index:05d}",
                label=self.classes[label],
                source=NpzVolume(self._path, split, index, self._keep_every),
                fold=split,
            )
            for split in SPLITS
            for index, label in enumerate(self._labels[split].tolist())
        ]


COLOURS = (3, 4)
MOST_LABELS = 10**7
Labels = dict[str, Int[np.ndarray, " case"]]


def _outline(path: Path) -> tuple[dict[str, tuple[int, ...]], Labels]:
    """Shapes of the images, from their headers alone, and the labels."""
    shapes: dict[str, tuple[int, ...]] = {}
    labels: Labels = {}
    with _reading(path):
        require_regular(path)
    with _reading(path), zipfile.ZipFile(path) as archive, np.load(path) as arrays:
        for split in SPLITS:
            for part in ("images", "labels"):
                if f"{split}_{part}" not in arrays:
                    raise DataError(f"{path}: no {split}_{part} in it; give a MedMNIST 3D file")
            shape, dtype = _header(archive, f"{split}_images.npy")
            if len(shape) == 4 and shape[3] in COLOURS and shape[1] != shape[3]:
                raise DataError(
                    f"{path}: {split}_images is of shape {shape}: flat images in {shape[3]} "
                    "colours, no volumes; give a MedMNIST 3D file"
                )
            if len(shape) != 4 or dtype != np.uint8:
                raise DataError(
                    f"{path}: {split}_images is {dtype} of shape {shape}, not 8-bit volumes of one "
                    "channel; give a MedMNIST 3D file"
                )
            told, _ = _header(archive, f"{split}_labels.npy")
            if math.prod(told) > MOST_LABELS:
                raise DataError(f"{path}: {split}_labels is of shape {told}; download it again")
            found = arrays[f"{split}_labels"]
            if found.shape not in {(shape[0], 1), (shape[0],)} or found.dtype.kind not in "ui":
                raise DataError(
                    f"{path}: {split}_labels is {found.dtype} of shape {found.shape}, not one "
                    f"label for each of {shape[0]} volumes; give a MedMNIST 3D file"
                )
            shapes[split], labels[split] = shape, found.reshape(-1).astype(np.int64)
    if not shapes["train"][0] or len({shape[1:] for shape in shapes.values()}) > 1:
        raise DataError(
            f"{path}: no volumes, or of several sizes {shapes}; give a MedMNIST 3D file"
        )
    return shapes, labels


def _header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of an array without decompressing it."""
    with archive.open(name) as member:
        version = np.lib.format.read_magic(member)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, _, dtype = read(member)
    return shape, dtype


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what zipfile and NumPy say of a wrong file into one line."""
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; get it from https://medmnist.com") from None
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, KeyError, OSError) as error:
        reason = " ".join(str(error).split())[:120]
        raise DataError(f"{path}: not a whole npz file ({reason}); download it again") from None


def _version(path: Path) -> tuple[Path, FileState]:
    """What a cached reading of the file is good for."""
    with _reading(path):
        require_regular(path)
        state = FileState.of(path)
    state.settle()
    return path, state


@lru_cache(maxsize=len(SPLITS))
def _images(
    path: Path, state: FileState, split: str
) -> UInt8[np.ndarray, "case slice height width"]:
    """Read one part whole: an array inside an npz cannot be entered in its middle."""
    with _reading(path), np.load(path) as arrays:
        images: UInt8[np.ndarray, "case slice height width"] = arrays[f"{split}_images"]
        return images
