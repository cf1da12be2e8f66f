"""What may stand behind ``--data``: a data set's spec, or the path of a manifest."""

from pathlib import Path

from volbench.errors import DataError, SpecError, UnknownComponentError
from volbench.interfaces import Dataset
from volbench.plugins.registry import datasets
from volbench.spec import Spec, parse

ACCEPTED = "give the path of a manifest ending in .csv, or a spec such as phantom(patients=100)"


def open_dataset(text: str) -> tuple[Dataset, Spec]:
    """Open a data set; its canonical spec goes into the experiment.

    >>> open_dataset("phantom(patients=20)")[1]
    Spec(name='phantom', arguments=(('patients', 20),))

    Raises:
        UnknownComponentError: no such data set.
        DataError: the text is neither a spec nor a manifest's path, or the data set refuses it.
        SpecError: the spec's arguments do not fit.
    """
    spec = _spec_of(text.strip())
    try:
        return datasets.build(spec, Dataset), spec
    except UnknownComponentError as error:
        raise UnknownComponentError(f"{error} Or {ACCEPTED}.") from None


def _spec_of(text: str) -> Spec:
    path = Path(text)
    if path.suffix.lower() == ".csv":
        return Spec("manifest", (("path", path.as_posix()),))
    if path.suffix.lower() == ".npz":
        return Spec("medmnist", (("path", path.as_posix()),))
    try:
        return parse(text)
    except SpecError as error:
        if "(" in text:
            raise
        inside = sorted(path.glob("*.csv")) if text and path.is_dir() else []
        hint = f"; did you mean {inside[0]}?" if inside else ""
        raise DataError(f"{text!r} is not a data set; {ACCEPTED}{hint}") from error
