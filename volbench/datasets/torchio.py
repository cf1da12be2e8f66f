"""TorchIO subjects: a ``SubjectsDataset`` of yours, or one that comes with TorchIO.

Source: Pérez-García et al., TorchIO, 2021, doi:10.1016/j.cmpb.2021.106236.
"""

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, TypeAlias

from volbench.errors import DataError, SpecError
from volbench.interfaces import Card, Case, Dataset, SubjectSource
from volbench.spec import Spec

if TYPE_CHECKING:
    import torchio

Subject: TypeAlias = Any
"""A ``torchio.Subject``, where TorchIO is not to be imported for its name alone."""

ENTRY_POINTS = "volbench.subjects"
IN_MEMORY = "subjects in memory"
PLANES = ("axial", "coronal", "sagittal")
PATIENTS = ("patient", "patient_id", "subject_id")
NAMES = ("case", "name")


@dataclass(frozen=True)
class _Keys:
    """Which attributes of a known data set's subjects mean what."""

    label: str
    patient: str | None = None


KNOWN: Mapping[str, _Keys] = {
    "RSNAMICCAI": _Keys("MGMT_value", "BraTS21ID"),
    "CtRate": _Keys("label", "subject_id"),
    "IXI": _Keys("label", "subject_id"),
    **{
        name: _Keys("labels")
        for name in (
            "OrganMNIST3D",
            "NoduleMNIST3D",
            "AdrenalMNIST3D",
            "FractureMNIST3D",
            "VesselMNIST3D",
            "SynapseMNIST3D",
        )
    },
}


class TorchIO(Dataset):
    """Cases that are TorchIO subjects.

    Scalar images are channels, the label map is the region of interest. Files pass the same checks
    as those of a manifest; what has a ``reader`` of its own, or lies in memory, is taken as it is.

    Args:
        source: ``"package.module:name"`` or the name of an entry point under ``volbench.subjects``:
            a ``torchio.SubjectsDataset``, an iterable of subjects, or a function that returns one.
            Or a call: one of TorchIO's own, ``RSNAMICCAI(root_dir="/data/rsna")``, or a function of
            yours with arguments, ``my_lab.cohort.subjects(site="B")``.
        label: Attribute that holds a subject's class.
        patient: Attribute that names its patient; by default ``patient``, ``patient_id`` or
            ``subject_id`` if there is one, else every subject is a patient.
        name: Attribute that names the case; by default ``case`` or ``name`` if there is one, else
            the patient.
        images: Names of the scalar images to use, in the order of the channels; all by default.
        mask: Name of the label map that is the region of interest; by default the only one.
        representative: Attribute that lists the slices that show the finding.
        fold: Attribute that holds the data set's own split.
        strata: Attributes to report by.
        classes: Names in the order of their index, the last of two is positive; sorted if None.
        plane: Slices are axial, coronal or sagittal; by default each volume's spacing decides.

    Raises:
        SpecError: ``source`` names nothing that gives subjects, or is not called like that.
        DataError: a subject lacks an attribute or an image, or the transform is random.
        ValueError: ``plane`` is none of the three.

    >>> import torch, torchio
    >>> subjects = [
    ...     torchio.Subject(t2w=torchio.ScalarImage(tensor=torch.rand(1, 8, 8, 3)), stage=stage)
    ...     for stage in ("T2", "T3")
    ... ]
    >>> TorchIO(source=subjects, label="stage").classes
    ('T2', 'T3')
    """

    def __init__(
        self,
        *,
        source: Any,
        label: str | None = None,
        patient: str | None = None,
        name: str | None = None,
        images: tuple[str, ...] | None = None,
        mask: str | None = None,
        representative: str | None = None,
        fold: str | None = None,
        strata: tuple[str, ...] = (),
        classes: tuple[str | int | float, ...] | None = None,
        plane: str | None = None,
    ) -> None:
        if plane is not None and plane not in PLANES:
            raise ValueError(f"plane must be one of {', '.join(PLANES)}, but got {plane=}")
        self.source = source
        self.plane = plane
        known = KNOWN.get(source.name) if isinstance(source, Spec) else None
        subjects, transform = _subjects_of(_opened(source))
        _refuse_random(transform)
        if not subjects:
            raise DataError(f"{self._title}: no subjects; there is nothing to learn from")
        first = subjects[0]
        self.images = images or tuple(first.get_images_dict(intensity_only=True))
        self.mask = mask or only_label_map(first)
        self.channels = self._channels(first)
        self._keys = {
            "label": label or (known.label if known else "label"),
            "patient": patient or (known and known.patient) or first_of(PATIENTS, first),
            "name": name or first_of(NAMES, first),
            "representative": representative,
            "fold": fold,
        }
        self._cases = tuple(
            self._case(subject, transform, number, strata)
            for number, subject in enumerate(subjects)
        )
        self.classes = _classes([case.label for case in self._cases], classes)
        self.card = Card(
            title=self._title,
            licence="not stated; ask whoever gave you the volumes",
            citation="not stated",
        )

    def cases(self) -> Sequence[Case]:
        """The subjects, in their order."""
        return self._cases

    @property
    def _title(self) -> str:
        return str(self.source) if isinstance(self.source, str | Spec) else IN_MEMORY

    def _channels(self, first: "torchio.Subject") -> tuple[str, ...]:
        found: list[str] = []
        for image in self.images:
            if image not in first.get_images_dict(intensity_only=True):
                there = ", ".join(first.get_images_dict(intensity_only=True)) or "none"
                raise DataError(f"{self._title}: no scalar image {image!r}; there are: {there}")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                count = _channels_of(first[image])
            found += [image] if count == 1 else [f"{image}_{n}" for n in range(count)]
        return tuple(found)

    def _case(
        self,
        subject: "torchio.Subject",
        transform: Callable[[Any], Any] | None,
        number: int,
        strata: Sequence[str],
    ) -> Case:
        where = f"{self._title}: subject {number}"
        patient_key, name_key = self._keys["patient"], self._keys["name"]
        numbered = f"subject-{number:05d}"
        patient = _text(subject, patient_key, where) if patient_key else None
        named = _text(subject, name_key, where) if name_key else None
        slices = self._keys["representative"]
        fold = self._keys["fold"]
        label_key = self._keys["label"]
        assert label_key is not None
        for image in (*self.images, *([self.mask] if self.mask else [])):
            if image not in subject:
                raise DataError(f"{where} has no image {image!r}; leave it out, or name others")
        return Case(
            name=named or patient or numbered,
            patient=patient or named or numbered,
            label=_text(subject, label_key, where),
            source=SubjectSource(subject, self.images, self.mask, transform, self.plane),
            representative=tuple(map(int, _value(subject, slices, where))) if slices else (),
            strata={key: _text(subject, key, where) for key in strata},
            fold=_text(subject, fold, where) if fold else None,
        )


def _opened(source: Any) -> Any:
    """Find what a source names, and call it if it is a function."""
    if isinstance(source, Spec):
        return _called(source)
    if not isinstance(source, str):
        return source
    module, colon, attribute = source.partition(":")
    if colon:
        found = _attribute(module, attribute, source)
    else:
        entries = {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
        if source not in entries:
            listed = ", ".join(sorted(entries)) or "none installed"
            raise SpecError(
                f"torchio: source={source!r} is neither package.module:name nor an entry point "
                f"under {ENTRY_POINTS} ({listed})"
            )
        found = _imported(lambda: entries[source].load(), source)
    return _run(found, {}, source) if _is_function(found) else found


def _called(source: Spec) -> Any:
    """Call one of TorchIO's data sets, or a function of the user's, with the spec's arguments."""
    import torchio

    module, _, attribute = source.name.rpartition(".")
    if module:
        found = _attribute(module, attribute, source.name)
    else:
        found = getattr(torchio.datasets, source.name, None)
        if found is None:
            raise SpecError(
                f"torchio: TorchIO {torchio.__version__} has no data set {source.name!r}; those "
                f"with a label are {', '.join(KNOWN)}"
            )
    return _run(found, source.kwargs, str(source))


def _attribute(module: str, attribute: str, shown: str) -> Any:
    found: Any = _imported(lambda: import_module(module), shown)
    for part in attribute.split("."):
        found = getattr(found, part, None)
        if found is None:
            raise SpecError(f"torchio: {module} has no {attribute!r} (source={shown!r})")
    return found


def _imported(load: Callable[[], Any], shown: str) -> Any:
    try:
        return load()
    except (Exception, SystemExit) as error:  # a module of the user's may do anything
        absent = isinstance(error, ModuleNotFoundError)
        way_out = "; install it, or put the folder it lies in on PYTHONPATH" if absent else ""
        raise SpecError(
            f"torchio: source={shown!r} cannot be imported ({_line(error)}){way_out}"
        ) from error


def _run(function: Callable[..., Any], arguments: Mapping[str, Any], shown: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(**arguments)
    except (Exception, SystemExit) as error:
        raise DataError(f"{shown}: gives no subjects ({_line(error)})") from error


def _is_function(found: Any) -> bool:
    return (callable(found) and not hasattr(found, "dry_iter")) or isinstance(found, type)


def _subjects_of(
    found: Any,
) -> tuple[Sequence["torchio.Subject"], Callable[[Any], Any] | None]:
    """Subjects, not loaded where that can be avoided, and the transform that they still need."""
    import torchio

    if isinstance(found, torchio.SubjectsDataset):
        if type(found).__getitem__ is torchio.SubjectsDataset.__getitem__:
            return list(found.dry_iter()), found._transform
        return [found[number] for number in range(len(found))], None
    if isinstance(found, torchio.Subject) or not isinstance(found, Iterable):
        raise SpecError(
            f"torchio: got {type(found).__name__}, not a SubjectsDataset or several subjects"
        )
    subjects = list(found)
    for subject in subjects:
        if not isinstance(subject, torchio.Subject):
            raise SpecError(f"torchio: got a {type(subject).__name__} where a Subject is needed")
    return subjects, None


def _refuse_random(transform: Any) -> None:
    """What is read is cached once, so a random transform would be frozen."""
    import torchio

    if isinstance(transform, torchio.transforms.augmentation.RandomTransform):
        raise DataError(
            f"the subjects' transform holds {type(transform).__name__}, which is random; take it "
            f"out and use training.augmentation=torchio.{type(transform).__name__}"
        )
    for inner in getattr(transform, "transforms", ()):
        _refuse_random(inner)


def only_label_map(subject: "torchio.Subject") -> str | None:
    """Name of the label map that is the region of interest: the only one, or ``mask``."""
    import torchio

    maps = [name for name, one in subject.items() if isinstance(one, torchio.LabelMap)]
    return maps[0] if len(maps) == 1 else "mask" if "mask" in maps else None


def _channels_of(image: "torchio.Image") -> int:
    """How many channels an image has; a file's header says it, where nothing is loaded."""
    from torchio.data.io import read_image

    if image._loaded or image.reader is not read_image:
        return int(image.shape[0])
    if isinstance(image.path, list):
        return len(image.path)
    return 1 if image.path is None or os.path.isdir(image.path) else _stored_channels(image)


def _stored_channels(image: "torchio.Image") -> int:
    try:
        return int(image.shape[0])
    except Exception:  # damaged, which is said by name when it is read
        return 1


def first_of(keys: Sequence[str], subject: "torchio.Subject") -> str | None:
    """The first of several attributes that a subject has."""
    return next((key for key in keys if key in subject), None)


def _value(subject: "torchio.Subject", key: str, where: str) -> Any:
    if key not in subject:
        there = [name for name in subject if name not in subject.get_images_names()]
        raise DataError(
            f"{where} has no attribute {key!r}; it has: {', '.join(map(str, there)) or 'none'}"
        )
    value = subject[key]
    return value.tolist() if hasattr(value, "tolist") else value


def _text(subject: "torchio.Subject", key: str, where: str) -> str:
    value = _value(subject, key, where)
    while isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if isinstance(value, list | tuple | dict) or value is None or not str(value).strip():
        raise DataError(f"{where}: {key}={value!r} is no single value")
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _classes(labels: Sequence[str], given: Sequence[str | int | float] | None) -> tuple[str, ...]:
    if given is not None:
        names = tuple(map(str, given))
        unknown = sorted(set(labels) - set(names))
        if unknown:
            raise DataError(f"label {unknown[0]!r} is none of classes={names}")
        return names
    distinct = set(labels)
    if len(distinct) < 2:
        raise DataError(f"only one class, {min(distinct)!r}; two or more are needed")
    try:
        return tuple(sorted(distinct, key=float))
    except ValueError:
        return tuple(sorted(distinct))


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
