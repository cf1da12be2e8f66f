"""Preparation of a data set: resumable tasks per case, then packing."""

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float16

from volbench._utils.atomic_io import FolderInUseError, FolderLock
from volbench._utils.process_pool import each
from volbench._utils.text import grouped
from volbench.data.cache.fingerprints import data_digest, fingerprints_of
from volbench.data.cache.packed_voxels import (
    SCHEMA,
    Prepared,
    PreparedCase,
    is_prepared,
    open_prepared,
)
from volbench.data.cache.writing import CacheDescription, redescribe, write_prepared
from volbench.data.formats.file_bytes import format_of, suffix_of
from volbench.data.formats.header_facts import header_facts
from volbench.data.preparation.case import (
    CaseGeometry,
    CaseTask,
    discard,
    load,
    load_mask,
    make,
    resumable_task,
)
from volbench.data.preprocessing.options import Preprocessing
from volbench.data.reading import read_as
from volbench.data.subjects.names import unprintable
from volbench.errors import DataError, StateError
from volbench.interfaces import Case, Dataset, Files, SubjectSource

logger = logging.getLogger(__name__)

OnCase = Callable[[int, int], None]

DESCRIBED = 2
"""Raised whenever an index says more of a case than before; voxels that are there are used."""

POLL_S = 0.5
SHOWN = 3
"""Broken cases that a message quotes; the others are counted."""


def prepare_dataset(
    dataset: Dataset,
    source: str,
    options: Preprocessing,
    *,
    root: Path,
    jobs: int,
    on_case: OnCase | None = None,
) -> Prepared:
    """Prepare a data set, or open its cache; see ``volbench.data.preparation.prepare``.

    Args:
        dataset: Its cases are sorted by name, whatever their order.
        source: Canonical spec of the data set.
        options: May hold ``auto``.
        root: Folder of all caches.
        jobs: Processes at most.
        on_case: Called with the number of cases done and their total.
    """
    options = options.resolved(dataset)
    cases = sorted(dataset.cases(), key=lambda case: case.name)
    _require_sound(cases, dataset.classes, source)
    cases = [read_as(case, options.geometry) for case in cases]
    fingerprints = fingerprints_of(cases, root / "fingerprints.json", jobs=jobs)
    description = CacheDescription(
        digest=data_digest(cases, fingerprints),
        preprocessing=options,
        source=source,
        classes=dataset.classes,
        channels=dataset.channels,
        card=dataset.card,
        ordered=dataset.ordered,
    )
    home = root / "prepared" / f"{description.digest[:16]}-{options.digest[:16]}"
    folder = home / _summary(description, cases)[:16]
    prepared = _intact(folder)
    if prepared:
        logger.info("opened the cache %s: %d cases", folder, len(prepared.cases))
        return prepared
    logger.info("preparing %d cases of %s in %s", len(cases), source, folder)
    tasks = [
        resumable_task(case, fingerprint, dataset.channels, options, root / "parts")
        for case, fingerprint in zip(cases, fingerprints, strict=True)
    ]
    with ExitStack() as stack:
        _lock(stack, home, tasks, on_case)
        return (
            _intact(folder)
            or _described_anew(home, folder, description, tasks)
            or _prepared(folder, description, tasks, jobs, on_case)
        )


def _require_sound(cases: Sequence[Case], classes: Sequence[str], source: str) -> None:
    if not cases:
        raise DataError(f"{source} has no cases; there is nothing to prepare")
    for case, following in pairwise(cases):
        if case.name == following.name:
            raise DataError(f"{source} has two cases named {case.name!r}; rename one")
    for case in cases:
        if odd := unprintable(case):
            raise DataError(odd)
        if case.label not in classes:
            raise DataError(
                f"case {case.name}: label {case.label!r} is none of {', '.join(classes)}; "
                "correct the label or the data set's classes"
            )


def _summary(description: CacheDescription, cases: Sequence[Case]) -> str:
    """Digest of all that an index says besides the voxels: another strata column, another folder.

    A finished folder is thus never changed while another process reads it.
    """
    rows = [[case.name, dict(case.strata), case.fold, _file_type(case)] for case in cases]
    text = json.dumps([SCHEMA, DESCRIBED, description.content(), rows], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _intact(folder: Path) -> Prepared | None:
    """Open a cache of our own; one that is missing, cut off or damaged is simply made again."""
    with suppress(StateError):
        prepared = open_prepared(folder)
        prepared.check()
        return prepared
    return None


def _lock(stack: ExitStack, home: Path, tasks: Sequence[CaseTask], on_case: OnCase | None) -> None:
    """Wait until ``home`` is ours; until then, report how far the other process is."""
    furthest = 0
    while True:
        try:
            stack.enter_context(FolderLock(home))
            return
        except FolderInUseError:
            furthest = max(furthest, sum(task.path.exists() for task in tasks))
            if on_case:
                on_case(furthest, len(tasks))
            time.sleep(POLL_S)


def _described_anew(
    home: Path, folder: Path, description: CacheDescription, tasks: Sequence[CaseTask]
) -> Prepared | None:
    """Use the voxels of a cache that differs in strata, folds, classes or source only."""
    for other in home.glob("*/"):
        prepared = _intact(other) if is_prepared(other) else None
        if prepared:
            there = {case.name: case for case in prepared.cases}
            cases = [_case(task, there[task.case.name], description) for task in tasks]
            return redescribe(prepared, folder, description, cases)
    return None


def _prepared(
    folder: Path,
    description: CacheDescription,
    tasks: Sequence[CaseTask],
    jobs: int,
    on_case: OnCase | None,
) -> Prepared:
    missing = [task for task in tasks if not task.path.exists()]
    done = len(tasks) - len(missing)
    broken = []
    for reason in each(make, missing, jobs=jobs):
        if reason is not None:
            broken.append(reason)
        done += 1
        if on_case:
            on_case(done, len(tasks))
    if broken:
        raise _broken(broken, len(tasks))
    cases: list[PreparedCase] = []

    def volumes() -> Iterator[Float16[np.ndarray, "_ channel size size"]]:
        for task in tasks:
            voxels, facts = load(task)
            cases.append(_case(task, facts, description))
            yield voxels

    masks = (load_mask(task) for task in tasks)
    prepared = write_prepared(folder, description, cases, volumes(), masks)
    discard(tasks)
    return prepared


def _case(
    task: CaseTask, facts: CaseGeometry | PreparedCase, description: CacheDescription
) -> PreparedCase:
    """What the data set says of a case, with what reading it told."""
    case = task.case
    return PreparedCase(
        name=case.name,
        patient=case.patient,
        label=description.classes.index(case.label),
        slices=facts.slices,
        spacing_mm=facts.spacing_mm,
        representative=facts.representative,
        strata=dict(case.strata),
        fold=case.fold,
        stored_shape=facts.stored_shape,
        stored_spacing_mm=facts.stored_spacing_mm,
        roi_mm3=facts.roi_mm3,
        file_type=_file_type(case),
        plane=facts.plane,
        affine=facts.affine,
        header=_header(case, description.channels),
    )


def _header(case: Case, channels: Sequence[str]) -> dict[str, str]:
    """What the headers of a case's images say; nothing of what has no files."""
    match case.source:
        case Files(images=images):
            paths: Sequence[Path | None] = images
            geometry = case.source.geometry
        case SubjectSource(subject=subject, images=names):
            found = [subject[name].path for name in names]
            paths = [path if isinstance(path, Path) else None for path in found]
            geometry = case.source.geometry
        case _:
            return {}
    facts = [{} if path is None else header_facts(path, geometry) for path in paths]
    if len(facts) == 1:
        return facts[0]
    named = channels if len(channels) == len(facts) else list(map(str, range(len(facts))))
    return {
        f"{name} {channel}": text
        for channel, of_channel in zip(named, facts, strict=True)
        for name, text in of_channel.items()
    }


def _file_type(case: Case) -> str | None:
    """How a case is stored: of one kind, unless its channels differ."""
    match case.source:
        case Files(images=paths):
            kinds = {suffix_of(path).strip(".") or format_of(path) for path in paths}
        case SubjectSource(subject=subject, images=names):
            kinds = {_subject_type(subject[name].path) for name in names}
        case _:
            return None
    return "+".join(sorted(kinds))


def _subject_type(path: object) -> str:
    """How the image of a subject is stored, if it is."""
    if not isinstance(path, Path):
        return "memory"
    return suffix_of(path).strip(".") or (
        "dicom" if os.path.isdir(path) else path.suffix.strip(".")
    )


def _broken(reasons: Sequence[str], total: int) -> DataError:
    if len(reasons) == 1:
        return DataError(f"{reasons[0]} (the other {total - 1} cases are prepared and kept)")
    lines = grouped(sorted(reasons))
    quoted = "; ".join(lines[:SHOWN])
    more = f"; and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return DataError(
        f"{len(reasons)} of {total} cases cannot be prepared: {quoted}{more} "
        "(the others are prepared and kept)"
    )
