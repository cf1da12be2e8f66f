"""A run's folder: what was asked, on which data, what each fold predicted.

    experiment.json   environment.json   data.json   splits.csv   cases.csv   audit.csv
    digests.json
    folds/00/         predictions.csv  [validation.csv]  history.csv  model.safetensors
                      environment.json  result.json; failed.json instead, of a fold that failed;
                      fusion.json instead of history and model, of a fold of clinical columns
    attempts/00/0001/ lease.json  log.txt  progress.json  ended.json: who trained it, and how far

Predictions are the only source of numbers in tables; `result.json` is written last and vouches for
the fold's other files by their SHA-256.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from volbench._utils.atomic_io import json_text, write_atomic, write_json
from volbench.errors import SpecError, StateError
from volbench.experiment.experiment import SCHEMA, Experiment, differing_keys
from volbench.experiment.splits import Split
from volbench.runs.cases_file import cases_csv
from volbench.runs.history_file import history_csv
from volbench.runs.predictions_file import Prediction, predictions_csv
from volbench.runs.sealing import (
    DIGESTS,
    OPTIONAL,
    SEALED,
    require_id,
    require_signed,
    seal,
    signed,
    verified,
    vouched,
)
from volbench.runs.splits_file import splits_csv
from volbench.spec import Spec, parse

PREDICTIONS, VALIDATION, HISTORY, MODEL, RESULT = (
    "predictions.csv",
    "validation.csv",
    "history.csv",
    "model.safetensors",
    "result.json",
)
FUSION = "fusion.json"
"""What a fold of clinical columns fitted, in place of weights."""
NUMBERED = re.compile(r"[0-9]{2,9}")
FAILURE = "failed.json"
CASES, AUDIT, TUNING = "cases.csv", "audit.csv", "tuning.json"
RACE = "race.json"
"""Why a candidate of a race was stopped."""
SPLITS, DATA, ENVIRONMENT = "splits.csv", "data.json", "environment.json"
EXPERIMENT = "experiment.json"
PROFILE = "profile.json"
BEGINNING = {SPLITS, CASES, DATA, ENVIRONMENT, DIGESTS}


@dataclass(frozen=True)
class FoldResult:
    """result.json: how one fold ended.

    Attributes:
        seconds: Training and evaluation, without waiting for other folds.
        samples_per_second: Training cases per second of training.
        peak_memory_mb: Of the device on a GPU, else of the process.
        selected_epoch: Epoch whose weights were scored, counted from 1.
        auc: Held out, for progress; None where undefined. Tables compute it from predictions.
        sha256: Digest of each of the fold's other files.
    """

    fold: int
    status: Literal["finished", "failed"]
    error: str | None = None
    seconds: float | None = None
    samples_per_second: float | None = None
    peak_memory_mb: float | None = None
    parameters: int | None = None
    selected_epoch: int | None = None
    auc: float | None = None
    device: str | None = None
    precision: str | None = None
    threads: int | None = None
    sha256: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)


class FoldFolder:
    """One fold's part of a run folder."""

    def __init__(self, path: Path, fold: int) -> None:
        self.path = path
        self.fold = fold

    def result(self) -> FoldResult | None:
        """How the fold ended; None while it has not.

        Raises:
            StateError: the folder is damaged.
        """
        # A failure has a name of its own, so that removing it can never remove a published result.
        for path in (self.path / RESULT, self.path / FAILURE):
            if (values := read_json(path)) is not None:
                break
        else:
            return None
        check_schema(values, path)
        values = require_signed(path, values, sealed=is_sealed(self.path.parent.parent))
        try:
            return FoldResult(**{key: value for key, value in values.items() if key != "schema"})
        except TypeError as error:
            raise StateError(f"{path} is damaged ({error}); delete it") from None

    def verify(self, result: FoldResult, *, only: str | None = None) -> None:
        """Check that the files, or the one named, are those the result vouches for.

        Raises:
            StateError: one is missing or was changed.
        """
        for name, digest in result.sha256.items():
            if only not in (None, name):
                continue
            path = self.path / name
            if not path.is_file() or sha256(path.read_bytes()) != digest:
                raise StateError(
                    f"{path} is missing or was changed after the run wrote it; "
                    f"delete {self.path} and run again"
                )

    def write_failure(self, error: str) -> FoldResult:
        """Keep a failed fold as a row with its reason."""
        result = FoldResult(self.fold, "failed", error=error)
        write_json(self.path / FAILURE, signed({"schema": SCHEMA, **asdict(result)}))
        return result

    def clear_failure(self) -> None:
        """Forget that the fold failed."""
        (self.path / FAILURE).unlink(missing_ok=True)

    def write_success(
        self,
        result: FoldResult,
        predictions: Sequence[Prediction],
        classes: Sequence[str],
        history: Sequence[Mapping[str, float]],
        model: bytes | None,
        *,
        validation: Sequence[Prediction] = (),
        environment: Mapping[str, Any] | None = None,
        fusion: Mapping[str, Any] | None = None,
        profile: Mapping[str, Any] | None = None,
    ) -> FoldResult:
        """Write all files of a finished fold, the result last; return it with their digests.

        A fold that was fitted to clinical columns has no ``history`` and no ``model``, but says in
        ``fusion`` what was fitted.

        ``validation`` holds the predictions of the inner validation part with the weights that
        were scored, for thresholds to be chosen on; without such a part no file is written.
        ``environment`` describes the machine that trained this fold, ``profile`` where its time
        went.
        """
        contents = {PREDICTIONS: predictions_csv(predictions, classes).encode()}
        if history:
            contents[HISTORY] = history_csv(history).encode()
        if model is not None:
            contents[MODEL] = model
        if fusion is not None:
            contents[FUSION] = json_text({"schema": SCHEMA, **fusion}).encode()
        if validation:
            contents[VALIDATION] = predictions_csv(validation, classes).encode()
        if environment is not None:
            contents[ENVIRONMENT] = json_text({"schema": SCHEMA, **environment}).encode()
        if profile is not None:
            contents[PROFILE] = json_text(profile).encode()
        for name, content in contents.items():
            write_atomic(self.path / name, content)
        digests = {name: sha256(content) for name, content in contents.items()}
        vouched = FoldResult(**{**asdict(result), "sha256": digests})
        write_json(self.path / RESULT, signed({"schema": SCHEMA, **asdict(vouched)}))
        return vouched

    def environment(self) -> Mapping[str, Any] | None:
        """What is known of the machine that trained the fold; None in a run of version 0.1.

        Raises:
            StateError: the file is damaged.
        """
        return read_json(self.path / ENVIRONMENT)


class RunFolder:
    """A run's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(
        self,
        experiment: Experiment,
        split: Split,
        data: Mapping[str, Any],
        environment: Mapping[str, Any],
    ) -> None:
        """Start a run here, or continue the same one.

        ``data`` is what data.json holds; its ``classes`` are the names of the classes.

        Raises:
            StateError: the folder holds another experiment, or something that is no run.
        """
        path = self.path / EXPERIMENT
        there = read_json(path)
        if there is None:
            if self.path.is_dir() and any(
                not _is_beginning(entry) for entry in self.path.iterdir()
            ):
                raise StateError(f"{self.path} is not empty and not a run; choose another --name")
            classes = data["classes"]
            contents = {
                SPLITS: splits_csv(split, classes).encode(),
                CASES: cases_csv(split, classes).encode(),
                DATA: json_text({"schema": SCHEMA, **data}).encode(),
                ENVIRONMENT: json_text({"schema": SCHEMA, **environment}).encode(),
            }
            for name, content in contents.items():
                write_atomic(self.path / name, content)
            asked = json_text({**experiment.to_json(), SEALED: True}).encode()
            seal(self.path, {**contents, EXPERIMENT: asked})
            write_atomic(path, asked)
            return
        check_schema(there, path)
        if _is_sealed(self.path, there):
            for name in vouched(self.path) - {AUDIT, RACE}:  # they are made again
                verified(self.path, name)
        ours = {**dict.fromkeys(OPTIONAL), **experiment.canonical()}
        if different := differing_keys(ours, {key: there.get(key) for key in ours}):
            raise StateError(
                f"{self.path} holds another experiment; it differs in {', '.join(different)}. "
                f"{_other_data(there.get('source'), experiment.source)}"
                "Choose another --name, or leave it out"
            )

    def experiment(self) -> Mapping[str, Any]:
        """What experiment.json says.

        Raises:
            StateError: there is none, it is damaged, or a newer volbench wrote it.
        """
        values = self._required(EXPERIMENT)
        if _is_sealed(self.path, values):
            if EXPERIMENT in vouched(self.path):  # runs of November 2026 have the id only
                verified(self.path, EXPERIMENT)
            require_id(self.path / EXPERIMENT, values)
        return values

    def environment(self) -> Mapping[str, Any]:
        """What environment.json says, under the same errors."""
        return self._required("environment.json")

    def data(self) -> Mapping[str, Any]:
        """What data.json says, under the same errors."""
        return self._required("data.json")

    def content(self, name: str) -> bytes:
        """The bytes of a file beside experiment.json, checked in a run that is sealed.

        Raises:
            StateError: it is missing, or was changed after the run wrote it.
        """
        if is_sealed(self.path):
            return verified(self.path, name)
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise StateError(
                f"{self.path / name} is missing ({error.strerror}); run again"
            ) from None

    def values(self, name: str) -> Mapping[str, Any] | None:
        """What a JSON file says that a run may lack; None where it does.

        Raises:
            StateError: it is damaged, was changed, or has no digest in a run that is sealed.
        """
        found = read_json(self.path / name)
        if found is not None and is_sealed(self.path):
            self.content(name)
        return found

    def keeps(self, name: str) -> bool:
        """Whether a file that can be made again is there and whole."""
        with suppress(StateError):
            self.content(name)
            return True
        return False

    def add(self, name: str, content: str) -> None:
        """Write one more file beside experiment.json, and vouch for it in a sealed run."""
        write_atomic(self.path / name, content)
        if is_sealed(self.path):
            seal(self.path, {name: content.encode()})

    def fold(self, number: int) -> FoldFolder:
        """The folder of one fold."""
        return FoldFolder(self.path / "folds" / f"{number:02d}", number)

    def results(self) -> dict[int, FoldResult]:
        """The folds that ended, by number."""
        found = {}
        for number in self.numbers():
            result = self.fold(number).result()
            if result is not None:
                found[number] = result
        return found

    def numbers(self) -> list[int]:
        """The folds there may be; runs of version 0.1 have them numbered as their data set did."""
        try:
            count = int(self.experiment()["folds"])
        except (KeyError, TypeError, ValueError):
            raise StateError(f"{self.path / EXPERIMENT} is damaged (folds); run again") from None
        folder = self.path / "folds"
        there = folder.iterdir() if folder.is_dir() else ()
        named = sorted(int(path.name) for path in there if NUMBERED.fullmatch(path.name))
        if len(named) > count:
            raise StateError(
                f"{folder} holds {len(named)} folds where {EXPERIMENT} has {count}; run again"
            )
        return named

    def _runs_inside(self) -> str:
        """Name the runs of a folder that holds some, where one of them was wanted."""
        inside = sorted(path.parent for path in self.path.glob(f"*/{EXPERIMENT}"))
        if not inside:
            return ""
        more = f" and {len(inside) - 4} more" if len(inside) > 4 else ""
        return f"; it holds {', '.join(map(str, inside[:4]))}{more}: name one"

    def _required(self, name: str) -> Mapping[str, Any]:
        values = read_json(self.path / name)
        if values is None:
            raise StateError(f"{self.path} is not a run: it has no {name}{self._runs_inside()}")
        if name != EXPERIMENT:
            self.content(name)
        check_schema(values, self.path / name)
        return values


def _other_data(theirs: object, ours: str) -> str:
    """Name both data sets where their texts differ, and how to ask for a version that was default.

    >>> _other_data("phantom", "phantom(version=2)")
    'Its data are phantom, version 1 today: --data "phantom(version=1)". '
    """
    if not isinstance(theirs, str) or theirs == ours:
        return ""
    with suppress(SpecError):
        old, new = parse(theirs), parse(ours)
        if old.name == new.name and "version" in new.kwargs.keys() - old.kwargs.keys():
            first = Spec(old.name, tuple(sorted({**old.kwargs, "version": 1}.items())))
            return f'Its data are {theirs}, version 1 today: --data "{first}". '
    return f"Its data are {theirs}, these are {ours}. "


def is_sealed(folder: Path) -> bool:
    """Whether the run in a folder vouches for all of its files.

    Its digests say so, too: a run that merely lost the word is none of version 0.1.
    """
    values = read_json(folder / EXPERIMENT)
    return values is not None and _is_sealed(folder, values)


def _is_sealed(folder: Path, experiment: Mapping[str, Any]) -> bool:
    return bool(experiment.get(SEALED)) or (folder / DIGESTS).exists()


def _is_beginning(entry: Path) -> bool:
    """Whether a file is what a run leaves that ended before it had written experiment.json."""
    return entry.name in BEGINNING or entry.name.startswith(".")


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object; None where there is no file.

    Raises:
        StateError: the file is not what volbench writes.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise StateError(f"{path} is damaged ({error}); delete it and run again") from None
    if not isinstance(values, dict):
        raise StateError(f"{path} is damaged (not an object); delete it and run again")
    return values


def check_schema(values: Mapping[str, Any], path: Path) -> None:
    """Refuse what another version wrote.

    Raises:
        StateError: the schema is not the one this version reads.
    """
    if values.get("schema") != SCHEMA:
        raise StateError(
            f"{path} has schema {values.get('schema')!r}, this volbench reads {SCHEMA}; "
            "use the version that wrote it"
        )


def sha256(content: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(content).hexdigest()
