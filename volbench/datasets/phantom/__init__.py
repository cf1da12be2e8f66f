"""Synthetic T2-weighted rectum for the task of Lee et al. (MICCAI 2022): T2 or T3?"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from volbench._utils.seeds import derive_seed
from volbench.datasets.phantom.anatomy import Anatomy, grow
from volbench.datasets.phantom.clinical import clinical_columns
from volbench.datasets.phantom.cohort import CLASSES, Patient, draw_patient
from volbench.datasets.phantom.difficulty import Difficulty
from volbench.datasets.phantom.render import render_scan
from volbench.interfaces import Card, Case, Dataset, Generated
from volbench.types import Scan

__all__ = ["Patient", "Phantom", "PhantomVolume"]

VERSIONS = (1, 2)
"""The last is the default. A new one whenever the same parameters would give other voxels."""
LARGEST_SIZE, MOST_SLICES, MOST_PATIENTS = 1024, 200, 100_000


@dataclass(frozen=True)
class PhantomVolume(Generated):
    """One patient's volume, computed from these figures and nothing else."""

    seed: int
    index: int
    size: int
    slices: tuple[int, int]
    difficulty: float
    # Not in the representation, which is part of the fingerprint: version 1 had no such field.
    version: int = field(default=VERSIONS[-1], repr=False)

    def fingerprint(self) -> str:
        """The parameters and the version of the renderer."""
        return f"phantom renderer {self.version}: {self!r}"

    @property
    def patient(self) -> Patient:
        """Class, scanner and geometry; cheap."""
        return draw_patient(
            self.seed,
            self.index,
            slices=self.slices,
            difficulty=Difficulty(self.difficulty),
            version=self.version,
        )

    def anatomy(self) -> Anatomy:
        """The contours before they are sampled; ground truth for measurements."""
        return grow(self.patient, Difficulty(self.difficulty), self._generator("anatomy"))

    def render(self) -> Scan:
        """Compute the volume: whole numbers below 32768, as float32 [1, slice, size, size]."""
        difficulty = Difficulty(self.difficulty)
        rng = self._generator("signal")
        return render_scan(self.patient, self.anatomy(), difficulty, rng, size=self.size)

    def _generator(self, purpose: str) -> np.random.Generator:
        return np.random.default_rng(derive_seed("phantom", self.seed, purpose, self.index))


class Phantom(Dataset):
    """Synthetic rectal volumes: on one to three slices a front lies inside the wall or beyond it.

    Args:
        patients: How many, one volume each; the first ones stay the same when there are more.
        size: Pixels per row and per column. The field of view is the patient's own, so pixels
            grow as the size shrinks: Table 1's spacing times 256 / size.
        slices: How many per volume: a number, or the least and the most.
        seed: Names the cohort.
        difficulty: From 0 (a hundred small volumes teach it) to 1 (hundreds of large ones do).
        columns: Whether patients have made-up clinical columns too: age and sex, which say nothing
            of the class, and cea, which does. The images stay the same.
        version: 2, whose classes have the same values in other places; or 1, in which only a T3
            has a breach, so that a histogram tells the classes apart. Written into every
            experiment, because ``phantom`` alone meant version 1 once.

    Raises:
        ValueError: for a figure out of range, with its range.

    >>> phantom = Phantom(patients=10)
    >>> len(phantom.cases()), phantom.classes
    (10, ('T2', 'T3'))
    """

    card = Card(
        title="Phantom: synthetic T2-weighted rectal tumours, T2 or T3",
        licence="Apache-2.0",
        citation="Problem and Table 1: Lee et al., Moving from 2D to 3D, MICCAI 2022",
    )
    classes = CLASSES
    channels = ("t2w",)

    def __init__(
        self,
        *,
        patients: int = 90,
        size: int = 32,
        slices: int | tuple[int, int] = (3, 6),
        seed: int = 0,
        difficulty: float = 0.1,
        columns: bool = False,
        version: int = VERSIONS[-1],
    ) -> None:
        least, most = (slices, slices) if isinstance(slices, int) else _pair(slices)
        _check_integer("patients", patients, 2, MOST_PATIENTS)
        _check_integer("size", size, 16, LARGEST_SIZE)
        _check_integer("slices", least, 1, MOST_SLICES)
        _check_integer("slices", most, least, MOST_SLICES)
        _check_integer("seed", seed, 0, 2**63 - 1)
        _check_integer("version", version, VERSIONS[0], VERSIONS[-1])
        number = isinstance(difficulty, int | float) and not isinstance(difficulty, bool)
        if not (number and 0 <= difficulty <= 1):
            raise ValueError(f"difficulty must be between 0 and 1, but got {difficulty=}")
        self.volumes = tuple(
            PhantomVolume(seed, index, size, (least, most), float(difficulty), version)
            for index in range(patients)
        )
        self.native_size = size
        self.columns = columns
        self.version = version

    def cases(self) -> Sequence[Case]:
        """One case per patient; renders nothing."""
        return [_case(volume, columns=self.columns) for volume in self.volumes]


def _case(volume: PhantomVolume, *, columns: bool) -> Case:
    patient = volume.patient
    name = f"phantom-{patient.index:05d}"
    return Case(
        name=name,
        patient=name,
        label=patient.label,
        source=volume,
        representative=patient.deepest,
        strata={
            "site": patient.site,
            "vendor": patient.scanner.vendor,
            "field_strength": patient.scanner.field_strength,
            **(clinical_columns(volume.seed, patient) if columns else {}),
        },
    )


def _pair(slices: tuple[int, int]) -> tuple[int, int]:
    if not isinstance(slices, tuple) or len(slices) != 2:
        raise ValueError(f"slices must be one number or (least, most), but got {slices=}")
    return slices[0], slices[1]


def _check_integer(name: str, value: object, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(
            f"{name} must be a whole number between {least} and {most}, but got {name}={value!r}"
        )
