"""Run folders written, not trained: every number in them is chosen here."""

from pathlib import Path

import numpy as np

from tests.small import small_case
from volbench.audit import Audit, AuditRow
from volbench.experiment import Experiment
from volbench.files import write_atomic
from volbench.leaderboard import LoadedRun, load_run
from volbench.recipe import load_recipe
from volbench.records import AUDIT, FoldResult, RunFolder
from volbench.rows import Prediction
from volbench.spec import parse, parse_sum
from volbench.splits import Split

CLASSES = ("T2", "T3")
CASES = 36
FOLDS = 3
PER_PATIENT = 2
HOSTILE = "a|b`<script>alert(1)</script>*_[x](javascript:1)\n# $y$"
"""What a name must not do to Markdown or HTML."""

ENVIRONMENT = {
    "python": "3.11.9",
    "packages": {"volbench": "0.1.0", "torch": "2.11.0", "absent": None},
    "commit": "abc1234",
    "command": ["volbench", "run"],
    "processor": "A processor",
    "cores": 2,
    "device": "A device",
    "precision": "float32",
    "threads": 1,
}
DATA = {
    "source": "small",
    "digest": "d" * 64,
    "channels": ["t2w"],
    "title": "A small data set",
    "licence": "CC BY 4.0",
    "citation": "Someone 2020",
    "url": "https://example.org",
}


def cases_of(strata):
    """Two cases per patient, of one class; three folds."""
    return tuple(
        small_case(
            number,
            label=number // PER_PATIENT % 2,
            patient=f"p{number // PER_PATIENT:02d}",
            stored_spacing_mm=(3.0 + number % 3, 0.5, 0.5),
            strata=strata(number),
        )
        for number in range(CASES)
    )


def fold_of(number):
    return str(number // (2 * PER_PATIENT) % FOLDS)


def chance(seed, number, label, slice_number=0):
    """Probability of T3: better than chance, far from perfect."""
    random = np.random.default_rng((seed, number, slice_number))
    return float(1 / (1 + np.exp(-random.normal(1.2 * (2 * label - 1), 1.5))))


def write_run(
    path: Path,
    *,
    encoder="rmc5",
    aggregator="bilinear",
    loss="focal+triplet",
    recipe="standard",
    overrides=(),
    classes=CLASSES,
    seed=0,
    finished=range(FOLDS),
    failed=(),
    audit=False,
    strata=lambda number: {"site": "north" if number % 3 else "south"},
    data=DATA,
    digest="d" * 64,
) -> LoadedRun:
    cases = cases_of(strata)
    split = Split(cases, tuple(map(fold_of, range(CASES))))
    experiment = Experiment(
        encoder=parse(encoder),
        aggregator=None if aggregator is None else parse(aggregator),
        loss=parse_sum(loss),
        recipe=load_recipe(recipe, overrides),
        source=data["source"],
        data_digest=digest,
        split_digest=split.digest,
        folds=FOLDS,
        seed=seed,
    )
    folder = RunFolder(path)
    folder.open(experiment, split, {**data, "classes": list(classes)}, ENVIRONMENT)
    slices = (None,) if aggregator is not None else (1, 2)
    keeps = experiment.recipe.selection.checkpoint == "validation"

    def rows(fold, numbers):
        return [
            Prediction(
                case=cases[number].name,
                patient=cases[number].patient,
                label=classes[cases[number].label],
                fold=fold,
                slice=place,
                probabilities=(1 - p, p),
            )
            for number in numbers
            for place in slices
            for p in [chance(seed, number, cases[number].label, place or 0)]
        ]

    for fold in finished:
        test = [number for number in range(CASES) if fold_of(number) == str(fold)]
        inner = [number for number in range(CASES) if fold_of(number) == str((fold + 1) % FOLDS)][
            :4
        ]
        folder.fold(fold).write_success(
            FoldResult(
                fold,
                "finished",
                seconds=10.0 + fold,
                samples_per_second=5.0,
                peak_memory_mb=100.0,
                parameters=1234567,
                selected_epoch=2 + fold,
                device="cpu",
                precision="float32",
                threads=1,
            ),
            rows(fold, test),
            classes,
            [{"epoch": 1, "train_loss": 0.7 - 0.1 * fold}, {"epoch": 2, "train_loss": 0.5}],
            b"weights",
            validation=rows(fold, inner) if keeps else (),
        )
    for fold in failed:
        folder.fold(fold).write_failure("out of memory | really <now>")
    if audit:
        write_atomic(path / AUDIT, _audit(cases, classes).to_csv())
    return load_run(path)


def _audit(cases, classes):
    """The size of the tumour tells the class, nearly."""
    found = tuple(
        Prediction(
            case=case.name,
            patient=case.patient,
            label=classes[case.label],
            fold=int(fold_of(number)),
            slice=None,
            probabilities=(1 - p, p),
        )
        for number, case in enumerate(cases)
        for p in [0.9 * case.label + 0.05 if number % 7 else 0.5]
    )
    return Audit(tuple(classes), (AuditRow("geometry", "logistic", "", found),))
