"""Data sources accepted by `--data`: spec, manifest, prepared folder, TorchIO subjects."""

import os
from pathlib import Path
from typing import Any

from volbench._utils.text import command_line
from volbench.errors import DataError, SpecError, UnknownComponentError, UsageError
from volbench.interfaces import Dataset
from volbench.plugins.registry import datasets
from volbench.spec import Spec, parse

ACCEPTED = "give the path of a manifest ending in .csv, or a spec such as phantom(patients=100)"
SPREADSHEETS = (".xlsx", ".xlsm", ".tsv")


def open_dataset(text: str) -> tuple[Dataset, Spec]:
    """Open a data set; its canonical spec goes into the experiment, with its version if it has one.

    >>> str(open_dataset("phantom(patients=20)")[1])
    'phantom(patients=20, version=2)'

    Raises:
        UnknownComponentError: no such data set.
        DataError: the text is neither a spec nor a manifest's path, or the data set refuses it.
        SpecError: the spec's arguments do not fit.
    """
    spec = _spec_of(text.strip())
    try:
        dataset = datasets.build(spec, Dataset)
    except UnknownComponentError as error:
        if os.path.exists(text.strip()):
            raise _no_data_set(text.strip()) from None
        raise UnknownComponentError(f"{error} Or {ACCEPTED}.") from None
    return dataset, spec if dataset.version is None else _with_version(spec, dataset.version)


def _with_version(spec: Spec, version: int) -> Spec:
    return Spec(spec.name, tuple(sorted({**spec.kwargs, "version": version}.items())))


def as_dataset(data: Any) -> tuple[Dataset, str]:
    """Open whatever may be data in Python; also the text that stands for it in an experiment.

    Args:
        data: Text as on the command line, a ``Dataset``, or a ``torchio.SubjectsDataset`` or an
            iterable of subjects, whose attributes ``label`` and ``patient`` are used.

    Raises:
        UsageError: it is none of these.
        VolbenchError: as ``open_dataset``.
    """
    if isinstance(data, str | Path):
        dataset, spec = open_dataset(str(data))
        return dataset, str(spec)
    if isinstance(data, Dataset):
        return data, type(data).__name__
    if not hasattr(data, "__iter__") and not hasattr(data, "dry_iter"):
        raise UsageError(
            f"data is a {type(data).__name__}; give a spec, a path, a Dataset or TorchIO subjects"
        )
    from volbench.datasets.torchio import IN_MEMORY, TorchIO

    return TorchIO(source=data), IN_MEMORY


def _spec_of(text: str) -> Spec:
    path = Path(text)
    if path.suffix.lower() == ".csv":
        return Spec("manifest", (("path", path.as_posix()),))
    if path.suffix.lower() == ".npz":
        return Spec("medmnist", (("path", path.as_posix()),))
    try:
        spec = parse(text)
    except SpecError:
        if "(" in text:
            raise
        raise _no_data_set(text) from None
    if "." in spec.name:  # a path, which a name with dots in it looks like
        raise _no_data_set(text)
    return spec


def _no_data_set(text: str) -> DataError:
    return DataError(f"{text!r} is not a data set; {_hint(Path(text)) if text else ACCEPTED}")


def _hint(path: Path) -> str:
    """What to give instead of a path that exists and is no data set."""
    if path.suffix.lower() in SPREADSHEETS:
        command = command_line("volbench", "data", "manifest", path)
        return f"`{command}` writes a manifest from it"
    if not path.is_dir():
        return ACCEPTED
    if (path / "manifest.csv").is_file():
        return f"did you mean {path / 'manifest.csv'}?"
    if (path / "experiment.json").is_file():
        return "it is a run; give the data that it was trained on"
    if (path / "index.json").is_file():
        return (
            "it is a prepared folder, which `volbench data prepare` verifies, `volbench data show` "
            "draws and `volbench run` trains on; give the manifest that it was made from"
        )
    inside = sorted(path.glob("*.csv"))
    if inside:
        return f"{ACCEPTED}; did you mean {inside[0]}?"
    return f"{ACCEPTED}; `volbench data manifest` writes one from a table and a folder of images"
