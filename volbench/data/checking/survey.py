"""Survey: read every case once and record its geometry or its error."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from volbench._utils.process_pool import each
from volbench._utils.renamed_modules import renamed
from volbench.data.duplicates import thumbnail
from volbench.data.preprocessing.information import refusal
from volbench.data.preprocessing.options import Preprocessing
from volbench.data.reading import read_as, read_case
from volbench.data.subjects.extents import Extent, extent
from volbench.errors import DataError, StorageError
from volbench.interfaces import Case, Dataset
from volbench.types import Scan

OnCase = Callable[[int, int], object]


@dataclass(frozen=True)
class VolumeFacts:
    """What reading a volume told.

    Attributes:
        spacing_mm: Distance between slices, rows and columns.
        region: Share of the voxels inside the mask; None without a mask.
        digest: SHA-256 over the voxels.
        representative: How many slices show the finding.
        mask_extent_mm: Extent of the mask across slices, rows and columns; None without a mask.
        label_extents_mm: The same of each label of a mask that has several.
        flat: Largest share of a channel's voxels that have its lowest or its highest value.
        thumbnail: Of the first channel, to find scans that are nearly the same.
    """

    channels: int
    slices: int
    rows: int
    columns: int
    spacing_mm: tuple[float, float, float]
    region: float | None
    digest: str
    representative: int
    mask_extent_mm: Extent | None = None
    label_extents_mm: Mapping[int, Extent] = field(default_factory=dict[int, Extent])
    flat: float = 0.0
    thumbnail: Float[np.ndarray, "_ _ _"] | None = field(default=None, repr=False, compare=False)

    @property
    def anisotropy(self) -> float:
        """Distance between slices over the mean distance between pixels."""
        between_slices, between_rows, between_columns = self.spacing_mm
        return 2 * between_slices / (between_rows + between_columns)


@dataclass(frozen=True)
class Surveyed:
    """A case, with its facts, and with the reason why it cannot be read or prepared, if so."""

    case: Case
    facts: VolumeFacts | None
    problem: str | None


@dataclass(frozen=True)
class _Look:
    """A case to look at, and how it would be prepared; None looks no further than reading."""

    number: int
    case: Case
    channels: tuple[str, ...]
    options: Preprocessing | None


def survey(
    dataset: Dataset,
    *,
    jobs: int = 1,
    on_case: OnCase | None = None,
    geometry: str = "auto",
    options: Preprocessing | None = None,
) -> tuple[Surveyed, ...]:
    """Read all cases; what cannot be read is reported, not raised.

    Args:
        dataset: Whose cases.
        jobs: Processes at most; what is read in seconds is read by this one alone.
        on_case: Called with how many cases are done, and of how many.
        geometry: Which part of NIfTI headers to believe; ``auto`` leaves it to the files.
        options: Resolved; what preparing a case by them would refuse is its problem, too.

    Raises:
        DataError: a worker process was killed, most likely for want of memory.
    """
    cases = [read_as(case, geometry) for case in dataset.cases()]
    found: dict[int, Surveyed] = {}
    try:
        tasks = [_Look(at, case, dataset.channels, options) for at, case in enumerate(cases)]
        for number, facts, problem in each(_look, tasks, jobs=jobs):
            found[number] = Surveyed(cases[number], facts, problem)
            if on_case:
                on_case(len(found), len(cases))
    except StorageError:
        raise DataError(
            f"a worker process was killed while reading {len(cases)} cases, most likely for want "
            "of memory; use --jobs 1"
        ) from None
    return tuple(found[number] for number in range(len(cases)))


def _look(task: _Look) -> tuple[int, VolumeFacts | None, str | None]:
    """Read one case; the case itself, which may be a volume in memory, is not sent back."""
    number, case = task.number, task.case
    try:
        scan = read_case(case)
    except DataError as error:
        return number, None, str(error)
    except Exception as error:  # a data set's plugin may raise anything; the others are still read
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return number, None, f"case {case.name}: cannot be read ({reason})"
    channels, slices, rows, columns = scan.image.shape
    facts = VolumeFacts(
        channels=channels,
        slices=slices,
        rows=rows,
        columns=columns,
        spacing_mm=scan.spacing_mm,
        region=None if scan.mask is None else float(scan.mask.mean()),
        digest=hashlib.sha256(scan.image.tobytes()).hexdigest(),
        representative=len(scan.representative),
        mask_extent_mm=None if scan.mask is None else extent(scan.mask, scan.spacing_mm),
        label_extents_mm=scan.label_extents_mm,
        flat=max(
            float(np.mean(channel == edge))
            for channel in scan.image
            for edge in (channel.min(), channel.max())
        ),
        thumbnail=thumbnail(scan.image[0]),
    )
    return number, facts, _unprepared(scan, task)


def _unprepared(scan: Scan, task: _Look) -> str | None:
    """Why the case cannot be prepared; transforms may change anything, and are not tried here."""
    options = task.options
    if options is None or options.transforms or len(scan.image) != len(task.channels):
        return None
    reason = refusal(scan, options, task.channels)
    return reason and f"case {task.case.name}: {reason}"


__getattr__ = renamed(__name__, {"Facts": "VolumeFacts"})
