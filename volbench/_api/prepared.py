"""Prepared data in Python: cases, and their volumes as TorchIO subjects."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from volbench._api.runs import AnyPath
from volbench.data.cache.packed_voxels import Prepared, PreparedCase, open_prepared
from volbench.errors import UsageError
from volbench.experiment.split_designs import choose_split

if TYPE_CHECKING:
    from volbench.data.loading.prepared_subjects import PreparedSubjects

PARTS = ("all", "train", "validation", "test")


class PreparedData:
    """A data set as it was prepared.

    Attributes:
        folder: Where it lies.
        cases: What is known of each case, sorted by name.
        classes: Names of the classes, in the order of their index.
        channels: Names of the channels.
    """

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared
        self.folder: Path = prepared.folder
        self.cases: tuple[PreparedCase, ...] = prepared.cases
        self.classes = prepared.classes
        self.channels = prepared.channels

    def __len__(self) -> int:
        return len(self.cases)

    def __repr__(self) -> str:
        return f"PreparedData({str(self.folder)!r}, {len(self)} cases)"

    def subjects(
        self,
        split: str = "all",
        fold: int | None = None,
        *,
        folds: int | AnyPath = 10,
        seed: int = 0,
        validation_fraction: float | None = None,
        transform: Callable[[Any], Any] | None = None,
    ) -> "PreparedSubjects":
        """The cases as a ``torchio.SubjectsDataset``: exactly the voxels that a network sees.

        Width runs along the columns of a slice, height along its rows, depth along the slices; the
        affine places them in the patient, in RAS. Each subject has an image per channel, its
        ``mask`` if there is one, and ``case``, ``patient``, ``label`` (a number), ``class_name``,
        ``representative`` and the strata as attributes. A case is read when it is asked for.

        Args:
            split: ``all``, or the part of ``fold`` to ``train`` on, to pick the checkpoint with
                (``validation``) or held out (``test``), as ``volbench run`` divides the cases.
            fold: The fold held out.
            folds: As ``--folds``: a number, ``official``, or a CSV such as a run's splits.csv.
            seed: As ``--seed``.
            validation_fraction: Of the recipe; that of ``standard`` by default.
            transform: A TorchIO transform, applied to each subject.

        Raises:
            UsageError: no such part or fold, or a part without a fold.
        """
        from volbench.data.loading.prepared_subjects import PreparedSubjects

        indices = self._indices(split, fold, str(folds), seed, validation_fraction)
        return PreparedSubjects(self._prepared, indices, transform=transform)

    def _indices(
        self, split: str, fold: int | None, folds: str, seed: int, fraction: float | None
    ) -> tuple[int, ...]:
        if split not in PARTS:
            raise UsageError(f"split must be one of {', '.join(PARTS)}, but got {split=}")
        if split == "all":
            return tuple(range(len(self.cases)))
        division = choose_split(folds, self.cases, seed, self.classes)
        if fold not in division.folds:
            there = ", ".join(map(str, division.folds))
            raise UsageError(f"split={split!r} needs a fold of {there}, but got {fold=}")
        if fraction is None:
            from volbench.experiment.recipe import load_recipe

            fraction = load_recipe("standard").selection.validation_fraction
        part = division.part(fold, validation_fraction=fraction, seed=seed)
        return {"train": part.train, "validation": part.validation, "test": part.test}[split]


def load_prepared(folder: AnyPath) -> PreparedData:
    """Open a folder that ``volbench data prepare`` has written.

    Sizes, the index and both ends of every case are checked.

    Raises:
        StateError: it is none, half-written, damaged, or written by a newer volbench.

    >>> from tempfile import TemporaryDirectory
    >>> from volbench.data.preparation import default_options, prepare
    >>> phantom = "phantom(patients=4, size=16, slices=3)"
    >>> with TemporaryDirectory() as root:
    ...     made = prepare(phantom, default_options(phantom), root=Path(root))
    ...     subjects = load_prepared(made.folder).subjects()
    ...     len(subjects), subjects[0].spatial_shape
    (4, (16, 16, 3))
    """
    return PreparedData(open_prepared(Path(folder)))
