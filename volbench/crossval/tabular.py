"""Clinical columns beside the images: two more runs on the folds of a run, trained in a second.

The columns alone, and the columns with the network's score. Both are run folders like any other, so
that `volbench compare`, `clinical` and `report` pair them with the network, case by case.
"""

import hashlib
import json
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from volbench._utils.seeds import derive_seed
from volbench._utils.text import plural, suggestion
from volbench.audit.columns import Column, is_identifier, text_column
from volbench.audit.result import NEARLY_THE_LABEL
from volbench.audit.shortcut_models import MODELS, Probabilities, encode, fit, probabilities
from volbench.crossval.late_fusion import CaseTable, FittedFold, fit_columns, fit_fusion
from volbench.data.cache.packed_voxels import Prepared, PreparedCase
from volbench.errors import DataError, UsageError, VolbenchError
from volbench.evaluation.items import gather
from volbench.evaluation.metrics import area_under_curve
from volbench.experiment.experiment import Experiment, Tabular
from volbench.experiment.splits import FoldPartition
from volbench.runs.folder import FUSION, PREDICTIONS, FoldResult, RunFolder, read_json
from volbench.runs.load import LoadedRun, load_run
from volbench.runs.predictions_file import Prediction
from volbench.spec import Spec, parse_sum
from volbench.training.device_and_precision import Compute

RESERVED = ("image", "label", "patient", "case", "mask", "representative", "fold")
LONGEST = 48
"""Characters of a folder's name that are spent on the names of columns."""


def column_names(text: str | Sequence[str]) -> tuple[str, ...]:
    """Read ``--tabular``: names with commas between.

    Raises:
        UsageError: a name is empty or given twice.

    >>> column_names("age, sex")
    ('age', 'sex')
    """
    names = tuple(name.strip() for name in (text.split(",") if isinstance(text, str) else text))
    if not all(names) or len(set(names)) < len(names):
        raise UsageError(f"--tabular {text!r}: give each column once, as in --tabular age,sex")
    return names


def check_columns(
    names: Sequence[str], prepared: Prepared, parts: Sequence[FoldPartition], *, seed: int
) -> Tabular:
    """Check that these columns may be predicted from.

    Raises:
        UsageError: there is no such column; it is the label, or nearly; it names patients or has
            one value; or a fold keeps no inner validation part to fit the fusion on.
    """
    known = sorted({name for case in prepared.cases for name in case.strata})
    for name in names:
        if name in RESERVED:
            raise UsageError(
                f"--tabular {name}: this column says what a case is, or is the label itself; "
                "predict from other ones"
            )
        if name not in known:
            hint = suggestion(name, known, otherwise=f"columns are {', '.join(known) or 'none'}")
            raise UsageError(f"--tabular {name}: the data have no such column; {hint}")
    if not all(part.validation for part in parts):
        raise UsageError(
            "--tabular: late fusion is fitted on the inner validation part of each fold, and this "
            "recipe keeps none; use --set selection.checkpoint=validation"
        )
    columns = columns_of(names, prepared.cases)
    patients = [case.patient for case in prepared.cases]
    labels = np.array([case.label for case in prepared.cases])
    for name, column in zip(names, columns, strict=True):
        if column.values == 1:
            raise UsageError(f"--tabular {name}: every case has the same value; leave it out")
        if is_identifier([case.strata.get(name, "") for case in prepared.cases], patients):
            raise UsageError(
                f"--tabular {name}: nearly every patient has a value of their own, so this is a "
                "name and no measurement; leave it out"
            )
        if any(_is_the_label(column, labels, part, len(prepared.classes), seed) for part in parts):
            raise UsageError(
                f"--tabular {name}: this column alone tells the label (AUC of {NEARLY_THE_LABEL} "
                "and more in a training part); it may be how the label was made. Leave it out"
            )
    return Tabular(tuple(names), True, _digest(names, prepared.cases), _missing(columns))


def gaps(tabular: Tabular) -> tuple[str, ...]:
    """Say what becomes of cases without a value, one line per column that has gaps."""
    return tuple(
        f"column {name}: {plural(count, 'case')} without a value; the median of the training part "
        "stands in for a number, beside a mark that it was missing; a missing word is a level"
        for name, count in zip(tabular.columns, tabular.missing, strict=True)
        if count
    )


def columns_of(names: Iterable[str], cases: Sequence[PreparedCase]) -> list[Column]:
    """Understand columns of the data set: measurements, dates or words."""
    return [text_column(name, [case.strata.get(name, "") for case in cases]) for name in names]


@dataclass(frozen=True, eq=False)
class TabularRuns:
    """Makes both runs of columns beside a run of images.

    Attributes:
        experiment: Of the run of images.
        tabular: The columns, checked.
        prepared: The data set.
        parts: The cases of each fold, by number.
    """

    experiment: Experiment
    tabular: Tabular
    prepared: Prepared
    parts: dict[int, FoldPartition]

    @property
    def alone(self) -> Experiment:
        """The columns alone; the same for every network of a recipe, so it is made once."""
        summary = "Logistic regression on clinical columns; no image is used"
        return replace(
            self.experiment,
            encoder=Spec("columns"),
            aggregator=Spec("none"),
            loss=parse_sum("logistic"),
            recipe=self.experiment.recipe.model_copy(update={"summary": summary}),
            weights=None,
            precision="auto",
            tabular=replace(self.tabular, fused=False),
        )

    @property
    def fused(self) -> Experiment:
        """The network's score with the columns."""
        return replace(self.experiment, tabular=self.tabular)

    def names(self, image: Path) -> tuple[str, str]:
        """Names of both folders, beside that of the run of images."""
        listed = re.sub(r"[^\w.+-]+", "_", "+".join(self.tabular.columns))[:LONGEST]
        return f"columns-{listed}-{self.alone.id[:8]}", f"{image.name}+{listed}"

    def fit_alone(self, folder: RunFolder, compute: Compute) -> dict[int, FoldResult]:
        """Fit what is missing in the run of the columns alone."""
        table = self._table()
        for fold, part in self.parts.items():
            if not _is_there(folder, fold, None):
                began = time.perf_counter()
                seed = derive_seed(0, "audit", MODELS[0], fold)  # the audit's own seed
                fitted = fit_columns(table, part, seed=seed)
                result = FoldResult(
                    fold,
                    "finished",
                    seconds=round(time.perf_counter() - began, 3),
                    parameters=fitted.parameters,
                    device=compute.device,
                    precision=compute.precision,
                    threads=compute.threads,
                )
                self._write(folder, result, part, fitted, {})
        return folder.results()

    def fit_fused(self, folder: RunFolder, image: Path) -> dict[int, FoldResult]:
        """Fit what is missing in the run of columns and network, of the folds that are trained."""
        run = load_run(image)
        table = self._table()
        for fold, network in run.results.items():
            source = network.sha256.get(PREDICTIONS)
            if network.status == "failed":
                folder.fold(fold).write_failure(f"the network's fold failed: {network.error}")
            elif not _is_there(folder, fold, source):
                folder.fold(fold).clear_failure()
                self._fit_fold(folder, run, fold, table)
        return folder.results()

    def _fit_fold(self, folder: RunFolder, run: LoadedRun, fold: int, table: CaseTable) -> None:
        part, network = self.parts[fold], run.results[fold]
        began = time.perf_counter()
        try:
            scores = (
                self._scores(run.validation.get(fold, ()), part.validation),
                self._scores(run.predictions[fold], part.test),
            )
            fitted = fit_fusion(table, part, scores, seed=self.experiment.seed)
        except VolbenchError as error:
            folder.fold(fold).write_failure(str(error))
            return
        result = replace(
            network,
            seconds=round((network.seconds or 0.0) + time.perf_counter() - began, 3),
            samples_per_second=None,
            parameters=(network.parameters or 0) + fitted.parameters,
            auc=None,
            sha256={},
        )
        about = {"network": network.sha256[PREDICTIONS], "run": run.name}
        self._write(folder, result, part, fitted, about)

    def _table(self) -> CaseTable:
        cases = self.prepared.cases
        return CaseTable(
            columns_of(self.tabular.columns, cases),
            np.array([case.label for case in cases], dtype=np.int64),
            np.array([case.patient for case in cases]),
            self.prepared.classes,
        )

    def _scores(self, rows: Sequence[Prediction], wanted: Sequence[int]) -> Probabilities:
        names = [self.prepared.cases[index].name for index in wanted]
        return scores_by_case(rows, self.prepared.classes, names)

    def _write(
        self,
        folder: RunFolder,
        result: FoldResult,
        part: FoldPartition,
        fitted: FittedFold,
        about: dict[str, str],
    ) -> None:
        rows = self._rows(part.test, fitted.test, result.fold)
        inner = () if fitted.validation is None else self._rows(
            part.validation, fitted.validation, result.fold
        )  # fmt: skip
        areas = area_under_curve(
            np.array([self.prepared.cases[index].label for index in part.test]), fitted.test
        )
        folder.fold(result.fold).write_success(
            replace(result, auc=None if np.isnan(areas) else areas),
            rows,
            self.prepared.classes,
            (),
            None,
            validation=inner,
            fusion={**about, **fitted.fitted},
        )

    def _rows(self, indices: Sequence[int], found: Probabilities, fold: int) -> list[Prediction]:
        return [
            Prediction(
                case=self.prepared.cases[index].name,
                patient=self.prepared.cases[index].patient,
                label=self.prepared.classes[self.prepared.cases[index].label],
                fold=fold,
                slice=None,
                probabilities=tuple(map(float, row)),
            )
            for index, row in zip(indices, found, strict=True)
        ]


def scores_by_case(
    rows: Sequence[Prediction], classes: tuple[str, ...], names: Sequence[str]
) -> Probabilities:
    """What a network says of cases, in the order of their names; of slices, their mean by case.

    Raises:
        DataError: the rows are of other cases than those.
    """
    items = gather(rows, classes, unit="case")
    found = {cases[0]: place for place, cases in enumerate(items.cases)}
    if set(names) != found.keys():
        raise DataError("late fusion: the network has predicted other cases than this fold has")
    return np.asarray(items.probabilities[[found[name] for name in names]])


def _is_there(folder: RunFolder, fold: int, network: str | None) -> bool:
    """Whether a fold is done, and with the network's predictions as they are now."""
    place = folder.fold(fold)
    result = place.result()
    if result is None or result.status != "finished":
        return False
    place.verify(result)
    return (read_json(place.path / FUSION) or {}).get("network") == network


def _is_the_label(
    column: Column, labels: np.ndarray, part: FoldPartition, classes: int, seed: int
) -> bool:
    """Whether a column nearly is the label in the training part; as the audit judges it."""
    known, _ = encode([column], part.train, part.train[:1])
    truth = labels[list(part.train)]
    return any(
        area_under_curve(truth, probabilities(fit(model, known, truth, seed), known, classes))
        >= NEARLY_THE_LABEL
        for model in MODELS
    )


def _missing(columns: Sequence[Column]) -> tuple[int, ...]:
    return tuple(
        int(np.isnan(column.numbers).sum())
        if column.numbers is not None
        else sum(not level for level in column.levels or ())
        for column in columns
    )


def _digest(names: Sequence[str], cases: Sequence[PreparedCase]) -> str:
    rows = sorted([case.name, *(case.strata.get(name, "") for name in names)] for case in cases)
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
