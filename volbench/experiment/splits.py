"""Splits of a data set: which fold holds out which case, and the parts of each fold."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from volbench._utils.seeds import derive_seed
from volbench.data.cache.packed_voxels import PreparedCase
from volbench.errors import DataError
from volbench.experiment.inner_validation import draw_inner_validation
from volbench.experiment.stratification import patients_by_classes

NOTHING_HELD_OUT = "the split holds nothing out: no case has a fold number or 'test'"
TRAIN, VALIDATION, TEST = "train", "val", "test"


@dataclass(frozen=True)
class FoldPartition:
    """The cases of one fold by their index: to train on, to pick the checkpoint with, held out."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


SEVERAL = ";"
"""Stands between the numbers of the folds of a case that several of them hold out."""


def folds_of(assigned: str) -> tuple[int, ...]:
    """Numbers of the folds that hold a case out, as splits.csv and cases.csv write them.

    >>> folds_of("3"), folds_of("0;7"), folds_of("train")
    ((3,), (0, 7), ())
    """
    return tuple(int(fold) for fold in assigned.split(SEVERAL) if fold.isdecimal())


@dataclass(frozen=True)
class Split:
    """A fold per case: its number, or ``train`` or ``val`` for a case that is never held out.

    Random splits may hold a case out several times: then it has the numbers of these folds, with
    semicolons between.
    """

    cases: tuple[PreparedCase, ...]
    assigned: tuple[str, ...]
    _parts: dict[tuple[int, float | None, int, float], FoldPartition] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        _check_patients(self.cases, self.assigned)

    @property
    def folds(self) -> tuple[int, ...]:
        """Numbers of the folds that hold something out."""
        return tuple(sorted({fold for assigned in self.assigned for fold in folds_of(assigned)}))

    @property
    def repeated(self) -> bool:
        """Whether some case is held out several times."""
        return any(SEVERAL in assigned for assigned in self.assigned)

    def held_out(self, fold: int) -> tuple[int, ...]:
        """The cases that a fold holds out."""
        return tuple(
            index for index, assigned in enumerate(self.assigned) if fold in folds_of(assigned)
        )

    @property
    def digest(self) -> str:
        """Identify the split, whatever the order of the cases."""
        rows = sorted(
            f"{case.name}\t{fold}" for case, fold in zip(self.cases, self.assigned, strict=True)
        )
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()

    def part(
        self,
        fold: int,
        *,
        validation_fraction: float | None,
        seed: int,
        train_share: float = 1.0,
    ) -> FoldPartition:
        """Divide the cases for one fold.

        Args:
            fold: The fold to hold out.
            validation_fraction: Share of the training patients kept to pick the checkpoint with;
                None keeps none. A split with its own validation cases uses those.
            seed: Seed of the inner division, and of who is learned from.
            train_share: Share of the other patients that are learned from, the inner part among
                them: at least two of each class, and those of a smaller share are among them.
        """
        # Every experiment of a suite asks for the same ones, several times over.
        key = (fold, validation_fraction, seed, train_share)
        if key not in self._parts:
            self._parts[key] = self._divide(*key)
        return self._parts[key]

    def _divide(
        self, fold: int, validation_fraction: float | None, seed: int, train_share: float
    ) -> FoldPartition:
        test = self.held_out(fold)
        own = tuple(index for index, word in enumerate(self.assigned) if word == VALIDATION)
        rest = tuple(sorted(set(range(len(self.cases))) - set(test) - set(own)))
        if train_share < 1:
            rest = self._some_of(rest, train_share, derive_seed(seed, "train share", fold))
        if not rest:
            raise DataError(
                f"fold {fold}: no case is left to train on, all others are held out or validation "
                "cases; give some of them another fold, or the word 'train'"
            )
        if validation_fraction is None:
            return FoldPartition(train=tuple(sorted((*rest, *own))), validation=(), test=test)
        if own:
            return FoldPartition(train=rest, validation=own, test=test)
        kept = draw_inner_validation(
            self.cases, rest, fraction=validation_fraction, fold=fold, seed=seed
        )
        return FoldPartition(
            train=tuple(index for index in rest if index not in kept),
            validation=tuple(sorted(kept)),
            test=test,
        )

    def _some_of(self, places: tuple[int, ...], share: float, seed: int) -> tuple[int, ...]:
        """Cases of the first so many patients of each class, in an order drawn at random."""
        random = np.random.default_rng(seed)
        kept: set[str] = set()
        for patients in patients_by_classes([self.cases[index] for index in places]):
            order = random.permutation(len(patients))
            take = max(2, math.ceil(share * len(patients)))
            kept.update(patients[place] for place in order[:take])
        return tuple(index for index in places if self.cases[index].patient in kept)


def _check_patients(cases: Sequence[PreparedCase], assigned: Sequence[str]) -> None:
    folds: dict[str, set[str]] = defaultdict(set)
    for case, fold in zip(cases, assigned, strict=True):
        folds[case.patient].add(fold)
    torn = sorted(patient for patient, of in folds.items() if len(of) > 1)
    if torn:
        where = ", ".join(sorted(folds[torn[0]]))
        raise DataError(f"patient {torn[0]!r} is in more than one fold ({where}) {and_more(torn)}")
    if not any(map(folds_of, assigned)):
        raise DataError(NOTHING_HELD_OUT)


def and_more(names: Sequence[str]) -> str:
    """How many there are beside the first.

    >>> and_more(["a", "b", "c"]), and_more(["a"])
    ('(and 2 more)', '(no other)')
    """
    return f"(and {len(names) - 1} more)" if len(names) > 1 else "(no other)"
