"""Volumes to predict: files, DICOM folders, a manifest with or without labels, or subjects."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from volbench._utils.text import nothing_there, plural
from volbench.datasets.manifest import ReadAs, case_of
from volbench.datasets.manifest_rows import (
    ManifestError,
    case_name,
    channel_of,
    column_problems,
    geometry_column,
    image_columns,
    repeats,
)
from volbench.datasets.table import read_table
from volbench.datasets.torchio import NAMES, PATIENTS, Subject, first_of, only_label_map
from volbench.errors import DataError, SpecError, UsageError
from volbench.interfaces import Case, Files, SubjectSource
from volbench.predict.trained_run import TrainedRun
from volbench.spec import parse


def find_cases(
    volumes: Sequence[str | Path | Subject],
    trained: TrainedRun,
    *,
    mask: Path | None = None,
    channels: Mapping[str, Path] | None = None,
) -> list[Case]:
    """Make cases of what was named; no voxel is read.

    Args:
        volumes: Images, folders that hold one DICOM series each, manifests ending in .csv, or
            TorchIO subjects: scalar images are channels, the label map is the region of interest.
        trained: Whose channels and plane the cases must have.
        mask: Region of interest of the only volume.
        channels: The images of one volume with several channels, by the channel's name; then
            ``volumes`` is empty.

    Raises:
        UsageError: nothing is named, or things that do not go together.
        DataError: other channels than the run's, a mask that is missing, a manifest that is wrong.
    """
    how = _read_as(str(trained.run.experiment["source"]))
    if channels:
        if volumes:
            raise UsageError(f"{volumes[0]}: give either volumes or --channel NAME=PATH, not both")
        cases = [_of_channels(channels, trained, how)]
    else:
        if not volumes:
            raise UsageError("no volume is named; give an image, a DICOM folder or a manifest.csv")
        cases = [
            case
            for number, volume in enumerate(volumes)
            for case in (
                _cases(Path(volume), trained, how)
                if isinstance(volume, str | Path)
                else [_of_subject(volume, number, trained, how)]
            )
        ]
    if mask is not None:
        cases = [_with_mask(cases, mask, volumes)]
    twice = [name for name, times in Counter(case.name for case in cases).items() if times > 1]
    if twice:
        raise UsageError(f"the case {twice[0]!r} is named more than once; name it once")
    for case in cases:
        _check_mask(case, trained, given=mask is not None)
    return cases


def _cases(path: Path, trained: TrainedRun, how: ReadAs) -> list[Case]:
    if path.suffix.lower() == ".csv":
        return _of_manifest(path, trained, how)
    if len(trained.channels) > 1:
        raise DataError(
            f"{path}: one channel, the run was trained on {_listed(trained.channels)}; give each "
            "as --channel NAME=PATH, or a manifest"
        )
    _require_files((path,))
    return [Case(case_name(path.as_posix()), "", "", how.source((path,)))]


def _require_files(paths: Sequence[Path]) -> None:
    """Refuse what is not there before anything else is said of it."""
    for path in paths:
        if not os.path.lexists(path):
            raise DataError(f"{path}: {nothing_there(path)}")


def _of_subject(subject: Subject, number: int, trained: TrainedRun, how: ReadAs) -> Case:
    """Make a case of a subject; its case, patient and label are attributes, if it has them."""
    images = tuple(subject.get_images_dict(intensity_only=True))
    named = first_of((*NAMES, *PATIENTS), subject)
    name = f"subject-{number:05d}" if named is None else str(subject[named])
    if not len(images) == len(trained.channels) == 1:
        _require_channels(f"subject {name}", images, trained)
        images = trained.channels
    patient = first_of(PATIENTS, subject)
    return Case(
        name=name,
        patient="" if patient is None else str(subject[patient]),
        label="",
        source=SubjectSource(
            subject,
            images,
            only_label_map(subject),
            plane=how.plane,
            geometry=how.geometry,
        ),
    )


def _of_channels(channels: Mapping[str, Path], trained: TrainedRun, how: ReadAs) -> Case:
    _require_channels("--channel", tuple(channels), trained)
    images = tuple(channels[name] for name in trained.channels)
    _require_files(images)
    return Case(case_name(images[0].as_posix()), "", "", how.source(images))


def _of_manifest(path: Path, trained: TrainedRun, how: ReadAs) -> list[Case]:
    table = read_table(path)
    columns = image_columns(table)
    problems = [*table.problems, *column_problems(table, columns, required=())]
    if not columns or not table.rows:
        raise ManifestError(path, problems)
    how = replace(how, column=geometry_column(table))
    cases: list[Case] = []
    for row in table.rows:
        case, reasons = case_of(row, columns, path.parent, how, required=())
        problems += [f"line {row.line}: {reason}" for reason in reasons]
        cases += [case] if case else []
    problems += repeats(table, columns, path.parent)
    if problems:
        raise ManifestError(path, problems)
    names = tuple(map(channel_of, columns))
    # One image is one image, whatever its column is called.
    if not len(names) == len(trained.channels) == 1:
        _require_channels(str(path), names, trained)
        cases = [_in_order(case, names, trained.channels) for case in cases]
    return cases


def _in_order(case: Case, names: tuple[str, ...], wanted: tuple[str, ...]) -> Case:
    assert isinstance(case.source, Files)
    images = dict(zip(names, case.source.images, strict=True))
    ordered = tuple(images[name] for name in wanted)
    return replace(case, source=replace(case.source, images=ordered))


def _require_channels(where: str, names: tuple[str, ...], trained: TrainedRun) -> None:
    if set(names) != set(trained.channels):
        raise DataError(
            f"{where}: {_listed(names)}, the run was trained on {_listed(trained.channels)}; give "
            "the same channels under the same names"
        )


def _with_mask(cases: Sequence[Case], mask: Path, volumes: Sequence[object]) -> Case:
    manifests = [volume for volume in volumes if str(volume).lower().endswith(".csv")]
    if len(cases) != 1 or manifests:
        raise UsageError(
            f"--mask {mask} belongs to one volume; for several use a manifest with a mask column"
        )
    if not isinstance(cases[0].source, Files):
        raise UsageError(f"--mask {mask}: a subject brings its own; add it as a LabelMap")
    return replace(cases[0], source=replace(cases[0].source, mask=mask))


def _check_mask(case: Case, trained: TrainedRun, *, given: bool) -> None:
    """Refuse what the run's preprocessing cannot do without, or would not look at."""
    options = trained.preprocessing
    in_training = bool(trained.run.case_rows) and all(
        row.roi_mm3 is not None for row in trained.run.case_rows
    )
    needed = options.crop != "none" or options.slice_margin is not None
    looked_at = needed or options.max_slices is not None
    source = case.source
    has = isinstance(source, Files | SubjectSource) and source.mask is not None
    if given and not looked_at:
        raise UsageError(
            "--mask: the run keeps whole slices and looks at no region of interest; leave it out"
        )
    if not has and (needed or (looked_at and in_training)):
        raise DataError(
            f"case {case.name}: the run cuts volumes around their region of interest, and there is "
            "none; give --mask FILE, or a manifest with a mask column"
        )


def _read_as(source: str) -> ReadAs:
    """The plane and the geometry that the run's manifest was read in, if it said any."""
    try:
        said = parse(source).kwargs
    except SpecError:
        return ReadAs()
    plane, geometry = (
        value if isinstance(value := said.get(name), str) else None
        for name in ("plane", "geometry")
    )
    return ReadAs(plane, geometry)


def _listed(channels: Sequence[str]) -> str:
    return f"{plural(len(channels), 'channel')} ({', '.join(channels)})"
