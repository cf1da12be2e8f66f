"""Check a data set: read every volume, find contradictions across cases."""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from volbench._utils.renamed_modules import renamed
from volbench._utils.text import plural
from volbench.data.checking.survey import OnCase, Surveyed, VolumeFacts, survey
from volbench.data.duplicates import look_alikes, missing_texts, names_of, similar_pairs
from volbench.data.formats.series_files import beside_series
from volbench.data.preprocessing.information import FLAT
from volbench.data.preprocessing.options import Preprocessing
from volbench.data.subjects.names import unprintable
from volbench.data.subjects.read import believed_kind
from volbench.errors import DataError
from volbench.interfaces import Case, Dataset, Files

FEW_PATIENTS = 10
SPACING_RANGE = 1.5
SHOWN = 10


@dataclass(frozen=True)
class ValidationReport:
    """What was found.

    Attributes:
        surveyed: Every case, read or not.
        problems: Each of them keeps the data set from being used.
        warnings: Each of them may spoil a comparison, and may be meant.
        notes: What a reader of the results should know.
    """

    surveyed: tuple[Surveyed, ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """Whether the data set can be used."""
        return not self.problems


def check(
    dataset: Dataset,
    *,
    jobs: int = 1,
    on_case: OnCase | None = None,
    allow_duplicates: bool = False,
    options: Preprocessing = Preprocessing(),  # noqa: B008 (frozen)
    further: Callable[[Sequence[Case]], Iterable[str]] | None = None,
) -> ValidationReport:
    """Read every case and judge the data set; collects problems instead of stopping at one.

    Args:
        dataset: What to check.
        jobs: Processes that read.
        on_case: Called with how many cases are done, and of how many.
        allow_duplicates: Equal volumes are warnings, not problems.
        options: How a run would prepare it.
        further: Problems that only higher rooms know, as those of its own folds.

    Raises:
        DataError: a worker process was killed.
    """
    refused = ""
    used: Preprocessing | None = None
    try:
        used = options.resolved(dataset)
    except DataError as error:
        refused = str(error)
    surveyed = survey(dataset, jobs=jobs, on_case=on_case, geometry=options.geometry, options=used)
    cases = [one.case for one in surveyed]
    problems = [one.problem for one in surveyed if one.problem]
    facts = [one.facts for one in surveyed if one.facts]
    equal = _equal(surveyed)
    copies = tuple(_copies(equal))
    problems += [*_broken_promises(dataset, surveyed), *_mixed_up(dataset, cases)]
    problems += [refused] if refused else []
    problems += further(cases) if further else ()
    return ValidationReport(
        surveyed=surveyed,
        problems=(*problems, *(() if allow_duplicates else copies)),
        warnings=(
            *_doubtful(dataset, cases),
            *_look_alikes(cases),
            *_nearly_constant(surveyed),
            *(copies if allow_duplicates else ()),
            *_nearly_copies(surveyed, equal),
        ),
        notes=(*_notes(facts), *_unverified(cases), *_left_out(cases)),
    )


def _broken_promises(dataset: Dataset, surveyed: Sequence[Surveyed]) -> Iterator[str]:
    """Volumes unlike what their data set says of all of them."""
    channels, size = len(dataset.channels), dataset.native_size
    for one in surveyed:
        if one.facts and one.facts.channels != channels:
            yield (
                f"case {one.case.name}: {one.facts.channels} channels, its data set has {channels}"
            )
        if one.facts and size and (one.facts.rows, one.facts.columns) != (size, size):
            yield (
                f"case {one.case.name}: {one.facts.rows}x{one.facts.columns} pixels, its data set "
                f"has {size}x{size}"
            )


def _mixed_up(dataset: Dataset, cases: Sequence[Case]) -> Iterator[str]:
    """Names, labels and folds that contradict each other."""
    if not cases:
        yield "there are no cases"
    for name, times in Counter(case.name for case in cases).items():
        if times > 1:
            yield f"the case {name!r} is there {times} times; names must be unique"
    for label in sorted({case.label for case in cases} - set(dataset.classes)):
        yield f"the label {label!r} is not among the classes {', '.join(dataset.classes)}"
    for patient, folds in _values(cases, lambda case: case.fold).items():
        if len(folds) > 1:
            yield f"patient {patient} is in the folds {', '.join(sorted(folds))}; keep to one"
    for case in cases:
        if odd := unprintable(case):
            yield odd
    unplaced = sum(case.fold is None for case in cases)
    if 0 < unplaced < len(cases):
        yield f"{unplaced} of {len(cases)} cases have no fold; give all of them one, or none"


def _doubtful(dataset: Dataset, cases: Sequence[Case]) -> Iterator[str]:
    """What is possible, but should be known before training."""
    patients = {label: {c.patient for c in cases if c.label == label} for label in dataset.classes}
    for label, members in patients.items():
        if len(members) < FEW_PATIENTS:
            count = plural(len(members), "patient")
            yield f"class {label!r} has {count}; ten folds cannot all hold one"
    yield from missing_texts(dataset.classes, (case.patient for case in cases))
    labels = _values(cases, lambda case: case.label)
    mixed = sorted(patient for patient, found in labels.items() if len(found) > 1)
    if mixed:
        yield f"patients with cases of more than one class: {len(mixed)}, the first is {mixed[0]}"


def _equal(surveyed: Sequence[Surveyed]) -> list[tuple[Case, Case]]:
    """All pairs of volumes that are equal voxel for voxel, in the order of the data set."""
    by_digest: dict[str, list[Case]] = defaultdict(list)
    for one in surveyed:
        if one.facts:
            by_digest[one.facts.digest].append(one.case)
    return [pair for cases in by_digest.values() for pair in combinations(cases, 2)]


def _copies(pairs: Sequence[tuple[Case, Case]]) -> Iterator[str]:
    """Copies, which may end up in two folds, or count twice."""
    for one, other in pairs:
        patients = (
            f"both of patient {one.patient}"
            if one.patient == other.patient
            else f"of the patients {one.patient!r} and {other.patient!r}"
        )
        yield (
            f"cases {one.name} and {other.name} are equal voxel for voxel, {patients}; remove one, "
            "or use --allow-duplicates"
        )


def _nearly_copies(
    surveyed: Sequence[Surveyed], equal: Sequence[tuple[Case, Case]]
) -> Iterator[str]:
    """Volumes of two patients that are one scan: scaled, mirrored, resampled or shifted."""
    read = [one for one in surveyed if one.facts and one.facts.thumbnail is not None]
    if len(read) < 2:
        return
    thumbnails = [one.facts.thumbnail for one in read if one.facts]
    known = {(one.name, other.name) for one, other in equal}
    names = [one.case.name for one in read]
    pairs = similar_pairs(
        [image for image in thumbnails if image is not None], [one.case.patient for one in read]
    )
    left = [(one, other) for one, other in pairs if (names[one], names[other]) not in known]
    if left:
        yield (
            f"volumes of different patients that are nearly one scan (scaled, mirrored, resampled "
            f"or shifted): {names_of(left, names)}"
        )


def _nearly_constant(surveyed: Sequence[Surveyed]) -> Iterator[str]:
    flat = [one for one in surveyed if one.facts and one.facts.flat >= FLAT]
    if flat:
        names = ", ".join(one.case.name for one in flat[:SHOWN])
        more = f" and {len(flat) - SHOWN} more" if len(flat) > SHOWN else ""
        yield (
            f"{len(flat)} volumes are nearly constant ({FLAT:.1%} of their voxels have one value): "
            f"{names}{more}; look at them, windows and percentiles leave nothing of them"
        )


def _look_alikes(cases: Sequence[Case]) -> Iterator[str]:
    groups = look_alikes(case.patient for case in cases)
    for group in groups[:SHOWN]:
        yield f"patients that look like one: {', '.join(map(repr, group))}; write one if they are"
    if len(groups) > SHOWN:
        yield f"{len(groups) - SHOWN} more groups of patients that look like one"


def _notes(facts: Sequence[VolumeFacts]) -> Iterator[str]:
    if not facts:
        return
    steps = [fact.spacing_mm[0] for fact in facts]
    if max(steps) > SPACING_RANGE * min(steps):
        yield f"slices are {min(steps):.3g} to {max(steps):.3g} mm apart"
    pixels = [fact.spacing_mm[1] for fact in facts]
    if max(pixels) > SPACING_RANGE * min(pixels):
        yield f"pixels are {min(pixels):.3g} to {max(pixels):.3g} mm wide"
    fine = sum(fact.anisotropy < 1 for fact in facts)
    if fine:
        yield f"{fine} of {len(facts)} volumes are finer across their slices than within them"
    oblong = sum(abs(fact.spacing_mm[1] / fact.spacing_mm[2] - 1) > 0.01 for fact in facts)
    if oblong:
        yield f"{oblong} of {len(facts)} volumes have pixels that are not square"
    masked = sum(fact.region is not None for fact in facts)
    if 0 < masked < len(facts):
        yield f"{masked} of {len(facts)} volumes have a mask"


def _unverified(cases: Sequence[Case]) -> Iterator[str]:
    """Volumes that no check of bytes stands behind."""
    believed = {case.name: kind for case in cases if (kind := believed_kind(case.source))}
    if believed:
        kinds = ", ".join(sorted(set(believed.values())))
        yield (
            f"{len(believed)} of {len(cases)} volumes ({kinds}) cannot be verified byte by byte; "
            "only their reader vouches for them"
        )


def _left_out(cases: Sequence[Case]) -> Iterator[str]:
    """Files that lie beside the slices of a DICOM series."""
    folders = {
        path
        for case in cases
        if isinstance(case.source, Files)
        for path in case.source.images
        if os.path.isdir(path)
    }
    found = {folder: names for folder in sorted(folders) if (names := beside_series(folder))}
    if found:
        kinds = sorted({name for names in found.values() for name in names})
        more = f" and {len(kinds) - 5} more" if len(kinds) > 5 else ""
        yield (
            f"{len(found)} series have files beside their slices, which are left out: "
            f"{', '.join(kinds[:5])}{more}"
        )


def _values(cases: Sequence[Case], value: Callable[[Case], str | None]) -> dict[str, set[str]]:
    """The distinct values that each patient's cases have."""
    found: dict[str, set[str]] = defaultdict(set)
    for case in cases:
        text = value(case)
        if text is not None:
            found[case.patient].add(text)
    return found


__getattr__ = renamed(__name__, {"Report": "ValidationReport"})
