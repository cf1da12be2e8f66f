"""Summary statistics of a data set: counts, sizes, spacings, strata."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from volbench._utils.renamed_modules import renamed
from volbench.data.checking.survey import Surveyed, VolumeFacts
from volbench.interfaces import Card, Dataset


@dataclass(frozen=True)
class Range:
    """Smallest, middle and largest value."""

    min: float
    median: float
    max: float

    def __str__(self) -> str:
        return f"{self.min:.4g} / {self.median:.4g} / {self.max:.4g}"


@dataclass(frozen=True)
class ExtentRange:
    """Extents in mm along the axes of the volumes."""

    slices: Range
    rows: Range
    columns: Range

    def __str__(self) -> str:
        return f"across slices {self.slices}, rows {self.rows}, columns {self.columns}"


@dataclass(frozen=True)
class DatasetSummary:
    """What `volbench data describe` shows.

    Attributes:
        unreadable: Cases that could not be read; they count in nothing below ``folds``.
        anisotropy: Distance between slices over the mean distance between pixels.
        region_percent: Share of the voxels inside the masks.
        mask_extents_mm: Extents of the masks, as a whole (``mask``) and of each label (``mask 1``)
            where masks have several: what a box of ``box_mm`` has to hold.
        strata: Per column, how often each value occurs, or the range of a column of numbers.
    """

    card: Card
    cases: int
    patients: int
    classes: Mapping[str, int]
    folds: Mapping[str, int]
    strata: Mapping[str, Mapping[str, int] | Range]
    channels: tuple[str, ...]
    unreadable: int
    masks: int
    representative: int
    slices: Range | None
    rows: Range | None
    columns: Range | None
    slice_spacing_mm: Range | None
    row_spacing_mm: Range | None
    column_spacing_mm: Range | None
    anisotropy: Range | None
    region_percent: Range | None
    mask_extents_mm: Mapping[str, ExtentRange]


MANY_VALUES = 12


def describe(dataset: Dataset, surveyed: Sequence[Surveyed]) -> DatasetSummary:
    """Sum up the cases of a data set, as ``survey`` read them."""
    cases = [one.case for one in surveyed]
    facts = [one.facts for one in surveyed if one.facts]
    labels = Counter(case.label for case in cases)
    strata = sorted({name for case in cases for name in case.strata})
    return DatasetSummary(
        card=dataset.card,
        cases=len(cases),
        patients=len({case.patient for case in cases}),
        classes={name: labels[name] for name in dataset.classes},
        folds=_counts([case.fold for case in cases if case.fold is not None]),
        strata={name: _column([case.strata.get(name, "") for case in cases]) for name in strata},
        channels=dataset.channels,
        unreadable=len(cases) - len(facts),
        masks=sum(fact.region is not None for fact in facts),
        representative=sum(fact.representative > 0 for fact in facts),
        slices=_range([fact.slices for fact in facts]),
        rows=_range([fact.rows for fact in facts]),
        columns=_range([fact.columns for fact in facts]),
        slice_spacing_mm=_range([fact.spacing_mm[0] for fact in facts]),
        row_spacing_mm=_range([fact.spacing_mm[1] for fact in facts]),
        column_spacing_mm=_range([fact.spacing_mm[2] for fact in facts]),
        anisotropy=_range([fact.anisotropy for fact in facts]),
        region_percent=_range([100 * fact.region for fact in facts if fact.region is not None]),
        mask_extents_mm=_extents(facts),
    )


def _extents(facts: Sequence[VolumeFacts]) -> dict[str, ExtentRange]:
    whole = [fact.mask_extent_mm for fact in facts if fact.mask_extent_mm is not None]
    labels = sorted({label for fact in facts for label in fact.label_extents_mm})
    found = {"mask": whole} if whole else {}
    for label in labels:
        found[f"mask {label}"] = [
            fact.label_extents_mm[label] for fact in facts if label in fact.label_extents_mm
        ]
    return {
        name: ExtentRange(*(_span(side) for side in zip(*extents, strict=True)))
        for name, extents in found.items()
    }


def _range(values: Sequence[float]) -> Range | None:
    return _span(values) if values else None


def _span(values: Sequence[float]) -> Range:
    return Range(min(values), median(values), max(values))


def _counts(values: Sequence[str]) -> dict[str, int]:
    """How often each value occurs, most frequent first, then by name."""
    return dict(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))


def _column(values: Sequence[str]) -> Mapping[str, int] | Range:
    """A column of many different numbers is a measurement; any other is a list of groups."""
    if len(set(values)) > MANY_VALUES:
        try:
            numbers = [float(value) for value in values if value]
        except ValueError:
            return _counts(values)
        return _range(numbers) or {}
    return _counts(values)


__getattr__ = renamed(__name__, {"Description": "DatasetSummary"})
