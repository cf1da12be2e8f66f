"""Copies of a scan on both sides of a test: refused, or kept with the run and said."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from volbench._utils.cache_location import cache_root
from volbench._utils.text import plural
from volbench.data.cache.packed_voxels import Prepared
from volbench.data.duplicates import (
    Pair,
    equal_pairs,
    look_alikes,
    missing_texts,
    names_of,
    separated,
    similar_pairs_cached,
)
from volbench.errors import DataError, VolbenchError
from volbench.experiment.split_designs import official_split
from volbench.experiment.splits import FoldPartition

Names = tuple[tuple[str, str], ...]

WAY_OUT = "remove one of each, give both one patient, or use --allow-duplicates"


def check_copies(
    prepared: Prepared, parts: Sequence[FoldPartition], *, allow: bool, cache: Path | None = None
) -> tuple[Names, tuple[str, ...]]:
    """Refuse equal volumes between training and held-out parts; warn of what looks like one.

    Args:
        prepared: The data set.
        parts: Of every fold.
        allow: Keep them, and say so.
        cache: Folder of all caches, which remembers near copies.

    Returns:
        Names of the equal pairs that are allowed, and lines for the user.

    Raises:
        DataError: equal volumes on both sides of a fold, or under two spellings of a patient.
    """
    names = [case.name for case in prepared.cases]
    owners = [case.patient for case in prepared.cases]
    sides = [((*part.train, *part.validation), part.test) for part in parts]
    equal = equal_pairs(prepared)
    across = separated(equal, sides)
    alike = look_alikes(owners)
    together = {patient: group for group in alike for patient in group}
    spelt = [
        (one, other)
        for one, other in equal
        if owners[one] != owners[other] and owners[other] in together.get(owners[one], ())
    ]
    refused = sorted({*across, *spelt})
    if refused and not allow:
        raise DataError(
            f"{plural(len(refused), 'pair')} of equal volumes between training and held-out cases "
            f"or under two spellings of one patient: {names_of(refused, names)}; {WAY_OUT}"
        )
    notes = [f"equal volumes, as allowed: {names_of(refused, names)}"] if refused else []
    if alike:
        notes.append(f"patients that look like one: {_listed(alike)}; write one if they are")
    notes += missing_texts(prepared.classes, owners)
    near = separated(similar_pairs_cached(prepared, cache or cache_root()), sides)
    if near := [pair for pair in near if pair not in set(equal)]:
        notes.append(
            f"{plural(len(near), 'pair')} of volumes of different patients that are nearly one "
            f"scan, in training and held-out parts: {names_of(near, names)}"
        )
    return _named(refused, names), tuple(notes)


def check_prepared(
    prepared: Prepared, *, allow: bool, cache: Path | None = None
) -> tuple[str, ...]:
    """Judge data that are not divided yet: by their own folds, if they have any.

    Returns:
        Lines for the user; equal volumes that folds may yet divide are among them.

    Raises:
        DataError: as ``check_copies``.
    """
    parts: list[FoldPartition] = []
    with suppress(VolbenchError):  # no split of its own, or none that can be used
        split = official_split(prepared.cases)
        parts = [split.part(fold, validation_fraction=None, seed=0) for fold in split.folds]
    _, notes = check_copies(prepared, parts, allow=allow, cache=cache)
    pairs = [] if parts else equal_pairs(prepared)
    if pairs and not any(note.startswith("equal volumes") for note in notes):
        names = [case.name for case in prepared.cases]
        notes = (
            f"equal volumes: {names_of(pairs, names)}; a run refuses folds that divide them",
            *notes,
        )
    return notes


def _named(pairs: Sequence[Pair], names: Sequence[str]) -> Names:
    return tuple((names[one], names[other]) for one, other in pairs)


def _listed(groups: Sequence[tuple[str, ...]]) -> str:
    shown = ", ".join(" = ".join(map(repr, group)) for group in groups[:5])
    return shown + (f" and {len(groups) - 5} more" if len(groups) > 5 else "")
