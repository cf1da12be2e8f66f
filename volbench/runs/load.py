"""Load runs from their folders, verified against their digests."""

import io
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from volbench.errors import StateError, UsageError
from volbench.experiment.experiment import short_source
from volbench.runs.cases_file import CaseRow, read_cases
from volbench.runs.cohort import UNKNOWN_COHORT, Cohort
from volbench.runs.features_used import read_features_used
from volbench.runs.folder import (
    CASES,
    DATA,
    HISTORY,
    PREDICTIONS,
    RACE,
    SPLITS,
    TUNING,
    VALIDATION,
    FoldFolder,
    FoldResult,
    RunFolder,
    is_sealed,
)
from volbench.runs.history_file import FORMER_COLUMNS
from volbench.runs.predictions_file import Grades, Prediction, read_predictions
from volbench.runs.splits_file import SplitRow, parse_splits

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedRun:
    """What a run folder says.

    Attributes:
        experiment: Content of experiment.json.
        environment: Content of environment.json.
        results: The folds that ended, by number.
        predictions: Held-out predictions of the finished folds, by number.
        validation: Predictions of each fold's inner validation part, where there is one.
        case_rows: What is known of each case; empty for a run written before this was kept.
        classes: Names of the classes, in the order of their index; empty before any fold is done.
        cases, patients: How many the data set has.
        tuning: Content of tuning.json, of a run whose hyperparameters were searched for.
        duplicates: Names of equal volumes in training and held-out parts, which were allowed.
        repeated: Whether its folds are random splits, which hold out a patient several times or
            never.
        race: Content of race.json, of a run that took part in a race and was stopped.
        channels: Names of the images of a case; empty where they were not kept.
        cohort: Who is held out where; empty digests where that is not known.
        about_patients: What its patients are, where the data set says that they are not people.
        features: Content of features.json, of a run that was trained on stored tokens.
    """

    path: Path
    experiment: Mapping[str, Any]
    environment: Mapping[str, Any]
    results: Mapping[int, FoldResult]
    predictions: Mapping[int, Sequence[Prediction]]
    validation: Mapping[int, Sequence[Prediction]]
    case_rows: Sequence[CaseRow]
    classes: tuple[str, ...]
    cases: int
    patients: int
    tuning: Mapping[str, Any] | None = None
    duplicates: tuple[tuple[str, str], ...] = ()
    repeated: bool = False
    race: Mapping[str, Any] | None = None
    channels: tuple[str, ...] = ()
    cohort: Cohort = UNKNOWN_COHORT
    about_patients: str = ""
    features: Mapping[str, Any] | None = None

    def __repr__(self) -> str:
        folds = f"{len(self.predictions)} of {self.experiment['folds']} folds"
        parts = (self.encoder, self.experiment["aggregator"], self.experiment["loss"])
        return f"<run {self.name}: {', '.join(filter(None, parts))}; {self.data}, {folds}>"

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.name

    @property
    def data(self) -> str:
        """Short name of the data set."""
        return short_source(self.experiment["source"])

    @property
    def protocol(self) -> tuple[str, str]:
        """Digests of data and split; runs are compared only where both are equal."""
        return self.experiment["data_digest"], self.experiment["split_digest"]

    @property
    def division(self) -> str:
        """Which patients are in which fold: equal where runs are paired, whatever they see."""
        return self.cohort.by_patient or str(self.experiment["split_digest"])

    @property
    def columns(self) -> tuple[str, ...]:
        """Clinical columns that it predicts from; none for images alone."""
        return tuple((self.experiment.get("tabular") or {}).get("columns", ()))

    @property
    def missing_values(self) -> dict[str, int]:
        """How many cases have no value, by clinical column."""
        counts = (self.experiment.get("tabular") or {}).get("missing", ())
        return dict(zip(self.columns, map(int, counts), strict=True))

    @property
    def uses_images(self) -> bool:
        """Whether a network is part of it."""
        return not self.columns or bool(self.experiment["tabular"]["fused"])

    @property
    def encoder(self) -> str:
        """What it predicts from: the encoder's spec, and the clinical columns, if any."""
        parts = [str(self.experiment["encoder"])] if self.uses_images else []
        return " + ".join([*parts, *([", ".join(self.columns)] if self.columns else [])])

    @property
    def failed(self) -> list[FoldResult]:
        """Folds that failed, with their reasons."""
        return [result for result in self.results.values() if result.status == "failed"]


def named_otherwise(runs: Iterable[LoadedRun]) -> bool:
    """Whether runs on the same patients and folds name the cases differently: patients pair."""
    runs = list(runs)
    return len({run.division for run in runs}) == 1 < len({run.cohort.by_case for run in runs})


def find_runs(paths: Iterable[Path]) -> list[Path]:
    """Find run folders: a path that is one, or the runs directly inside it.

    Raises:
        UsageError: a path holds no run.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path} does not exist; give run folders or a folder of runs")
        runs = [path] if _is_run(path) else sorted(filter(_is_run, path.iterdir()))
        if not runs:
            raise UsageError(f"{path} holds no run; start one with volbench run")
        found.update(dict.fromkeys(runs))
    return list(found)


def load_run(path: Path) -> LoadedRun:
    """Read a run.

    Raises:
        StateError: a file is missing, damaged or was changed after the run wrote it.
    """
    folder = RunFolder(path)
    experiment = folder.experiment()
    results = folder.results()
    logger.debug("loading %s: %d folds", path, len(results))
    predictions: dict[int, Sequence[Prediction]] = {}
    validation: dict[int, Sequence[Prediction]] = {}
    classes: tuple[str, ...] = ()
    for fold, result in results.items():
        if result.status != "finished":
            continue
        place = folder.fold(fold)
        rows, named = _predictions(place, result, PREDICTIONS)
        if classes and named != classes:
            raise StateError(f"{place.path / PREDICTIONS}: its classes differ from other folds'")
        predictions[fold], classes = rows, named
        if VALIDATION in result.sha256:
            validation[fold], _ = _predictions(place, result, VALIDATION)
    split = _split(folder)
    _require_held_out(folder, predictions, split)
    data = _data(folder)
    return LoadedRun(
        path=path,
        experiment=experiment,
        environment=folder.environment(),
        results=results,
        predictions=predictions,
        validation=validation,
        case_rows=_case_rows(folder),
        classes=Grades(classes) if data.get("ordered", False) else classes,
        cases=len(split),
        patients=len({row.patient for row in split}),
        tuning=folder.values(TUNING),
        duplicates=tuple((str(one), str(other)) for one, other in data.get("duplicates", ())),
        repeated=any(len(row.folds) > 1 for row in split),
        race=_race(folder),
        channels=tuple(map(str, data.get("channels", ()))),
        cohort=Cohort.of(split),
        about_patients=str(data.get("about_patients", "")),
        features=read_features_used(path),
    )


def read_history(run: LoadedRun, fold: int) -> pd.DataFrame:
    """Losses by epoch of a finished fold: the columns of history.csv; none of clinical columns.

    Columns of older runs have their present names.

    Raises:
        StateError: the file is missing or was changed.
    """
    if run.columns:
        return pd.DataFrame({"epoch": []})
    text = _verified(RunFolder(run.path).fold(fold), run.results[fold], HISTORY)
    return pd.read_csv(io.StringIO(text)).rename(columns=FORMER_COLUMNS)


def _predictions(
    place: FoldFolder, result: FoldResult, name: str
) -> tuple[list[Prediction], tuple[str, ...]]:
    try:
        return read_predictions(_verified(place, result, name))
    except (KeyError, ValueError) as error:
        raise StateError(f"{place.path / name} is damaged ({error}); run again") from None


def _verified(place: FoldFolder, result: FoldResult, name: str) -> str:
    """Text of a fold's file, which is the one that the result vouches for."""
    place.verify(result, only=name)
    return (place.path / name).read_bytes().decode("utf-8")


def _case_rows(folder: RunFolder) -> list[CaseRow]:
    path = folder.path / CASES
    if not path.exists() and not is_sealed(folder.path):
        return []
    try:
        return read_cases(folder.content(CASES).decode("utf-8"))
    except (KeyError, ValueError) as error:
        raise StateError(f"{path} is damaged ({error}); run again") from None


def _race(folder: RunFolder) -> Mapping[str, Any] | None:
    """Why a race stopped the run; None if it did not."""
    if not folder.keeps(RACE):
        return None
    values: dict[str, Any] = json.loads(folder.content(RACE))
    return values if "against" in values else None


def _is_run(path: Path) -> bool:
    return (path / "experiment.json").is_file()


def _split(folder: RunFolder) -> list[SplitRow]:
    try:
        return parse_splits(folder.content(SPLITS).decode("utf-8"))
    except (KeyError, ValueError) as error:
        raise StateError(
            f"{folder.path / SPLITS} is missing or damaged ({error}); run again"
        ) from None


def _require_held_out(
    folder: RunFolder,
    predictions: Mapping[int, Sequence[Prediction]],
    split: Sequence[SplitRow],
) -> None:
    """Refuse a prediction of a case that its fold does not hold out: it would score training."""
    held_out = {row.case: row.folds for row in split}
    for fold, rows in predictions.items():
        for row in rows:
            if fold not in held_out.get(row.case, ()):
                raise StateError(
                    f"{folder.path}: fold {fold} predicts case {row.case!r}, which {SPLITS} does "
                    "not hold out there; run again"
                )


def _data(folder: RunFolder) -> Mapping[str, Any]:
    """What data.json says; runs of version 0.1 may lack it."""
    return folder.data() if is_sealed(folder.path) else folder.values(DATA) or {}
