"""Run folders written, not trained: every number in them is chosen here.

`write_run` writes whole runs as the library does; `write_rival` writes runs of a known strength to
be compared, whose components may be any text; `write_folds` serves runs of any other kind.
"""

import json
from pathlib import Path

import numpy as np

from tests.helpers.small import small_case
from volbench._utils.atomic_io import write_json
from volbench.audit import Audit, AuditRow
from volbench.experiment.experiment import Experiment
from volbench.experiment.recipe import load_recipe
from volbench.experiment.splits import Split
from volbench.leaderboard import LoadedRun, load_run
from volbench.runs.folder import AUDIT, FoldResult, RunFolder
from volbench.runs.predictions_file import Prediction
from volbench.spec import parse, parse_sum

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
SITES = "ABC"


def write_folds(
    folder: RunFolder,
    classes,
    held_out,
    *,
    finished,
    failed=(),
    error="the loss is not a number",
    validation=lambda fold: (),
    history=lambda fold: [{"epoch": 1, "train_loss": 0.0}],
    measured=lambda fold: {},
):
    """Write the folds of a run; what each holds is asked for by its number."""
    for fold in finished:
        folder.fold(fold).write_success(
            FoldResult(fold, "finished", **measured(fold)),
            list(held_out(fold)),
            classes,
            history(fold),
            b"weights",
            validation=list(validation(fold)),
        )
    for fold in failed:
        folder.fold(fold).write_failure(error)


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
    **others,
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
        **others,
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
                probabilities=(1 - p, p, *([0.0] * (len(classes) - 2))),
            )
            for number in numbers
            for place in slices
            for p in [chance(seed, number, cases[number].label, place or 0)]
        ]

    def held_out(fold):
        return rows(fold, [n for n in range(CASES) if fold_of(n) == str(fold)])

    def inner(fold):
        return rows(fold, [n for n in range(CASES) if fold_of(n) == str((fold + 1) % FOLDS)][:4])

    write_folds(
        folder,
        classes,
        held_out,
        finished=finished,
        failed=failed,
        error="out of memory | really <now>",
        validation=inner if keeps else lambda fold: (),
        history=lambda fold: [
            {"epoch": 1, "train_loss": 0.7 - 0.1 * fold},
            {"epoch": 2, "train_loss": 0.5},
        ],
        measured=lambda fold: {
            **{"seconds": 10.0 + fold, "samples_per_second": 5.0, "peak_memory_mb": 100.0},
            **{"parameters": 1234567, "selected_epoch": 2 + fold},
            **{"device": "cpu", "precision": "float32", "threads": 1},
        },
    )
    if audit:
        RunFolder(path).add(AUDIT, _audit(cases, classes).to_csv())
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


def write_rival(
    out,
    name,
    *,
    encoder="rmc5",
    aggregator="bilinear",
    loss="focal+triplet",
    signal=1.0,
    patients=60,
    folds=5,
    noise=0,
    shared=0.8,
    classes=("T2", "T3"),
    one_class_in=None,
    done=None,
    failed=(),
    seed=0,
    split="e",
    data="d",
    slices=2,
    validation=True,
    site=None,
    environment=None,
    audit=None,
    summary="",
    seconds=40.0,
    suffix="",
):
    """Write a run. Runs of equal `split` and `patients` have the same cases in the same folds.

    Args:
        signal: Distance of the classes, in standard deviations of the noise.
        shared: Share of the noise that all runs have in common.
        one_class_in: A fold whose cases are all of the last class.
        suffix: Of the names of the cases.
        audit: Strength of a row "geometry" in audit.csv; None means no such file.
    """
    labels, fold_of, hard = cohort(patients, folds, len(classes), split, one_class_in)
    folder = RunFolder(out / name)
    experiment = {
        "id": name,
        "source": "manifest(path='/somewhere/hospital/manifest.csv')",
        "summary": summary,
        "encoder": encoder,
        "aggregator": aggregator,
        "loss": loss,
        "level": "volume" if aggregator else "slice",
        "recipe": {},
        "precision": "auto",
        "data_digest": data * 64,
        "split_digest": split * 64,
        "folds": folds,
        "seed": seed,
    }
    write_json(folder.path / "experiment.json", {"schema": 1, **experiment})
    machine = {"device": "cpu", "precision": "float32", "processor": "A", "cores": 2, "threads": 1}
    write_json(folder.path / "environment.json", {"schema": 1, **machine, **(environment or {})})
    names = [(f"c{i:03}{suffix}", f"p{i:03}", classes[label]) for i, label in enumerate(labels)]
    write_cases(folder.path, names, fold_of, site)
    random = np.random.default_rng([noise, 5])
    each = [None] if aggregator else range(slices)

    def predict(index, fold):
        case, patient, label = names[index]
        for number in each:
            own = random.normal(size=len(classes))
            scores = shared * hard[index] + np.sqrt(1 - shared**2) * own
            scores[labels[index]] += signal
            values = np.exp(scores) / np.exp(scores).sum()
            yield Prediction(case, patient, label, fold, number, tuple(map(float, values)))

    # Drawn for all folds, so that a fold that is not written changes no other.
    held, inner = [], []
    for fold in range(folds):
        for rows, of in ((held, fold), (inner, (fold + 1) % folds)):
            rows.append(
                [row for i in range(patients) if fold_of[i] == of for row in predict(i, fold)]
            )
    reached = [fold for fold in range(folds) if done is None or fold < done]
    write_folds(
        folder,
        classes,
        held.__getitem__,
        finished=[fold for fold in reached if fold not in failed],
        failed=failed,
        error="TrainingError: the loss is not a number",
        validation=inner.__getitem__ if validation else lambda fold: (),
        measured=lambda fold: {
            **{"seconds": seconds, "samples_per_second": 20.0, "peak_memory_mb": 1400.0},
            **{"parameters": 6_960_000, "device": "cpu", "precision": "float32", "threads": 1},
        },
    )
    if audit is not None:
        write_audit(folder.path, names, fold_of, labels, classes, {"geometry": audit})
    return folder.path


def cohort(patients, folds, classes, split, one_class_in=None):
    """Labels, folds and how hard each case is."""
    truth = np.random.default_rng(7)
    labels = np.arange(patients) % classes
    hard = truth.normal(size=(patients, classes))
    order = np.random.default_rng(ord(split)).permutation(patients // classes)
    fold_of = np.array([order[i // classes] % folds for i in range(patients)])
    if one_class_in is not None:
        elsewhere = (one_class_in + 1) % folds
        fold_of[(fold_of == one_class_in) & (labels != classes - 1)] = elsewhere
    return labels, fold_of, hard


def write_cases(path, names, fold_of, site):
    lines = ["case,patient,label,fold"]
    known = [
        "case,patient,label,fold,slices,rows,columns,slice_mm,row_mm,column_mm,roi_mm3,plane,"
        "stratum_site"
    ]
    for i, (name, fold) in enumerate(zip(names, fold_of, strict=True)):
        lines.append(",".join([*name, str(fold)]))
        where = SITES[(i // 2) % 3] if site is None else site(i)
        known.append(",".join([*name, str(fold), f"{5 + i},64,64,{3 + i / 100},1,1,,axial", where]))
    (path / "splits.csv").write_text("\n".join(lines) + "\n")
    (path / "cases.csv").write_text("\n".join(known) + "\n")


def write_audit(path, names, fold_of, labels, classes, strengths):
    rows = []
    for place, (features, signal) in enumerate(strengths.items()):
        random = np.random.default_rng([11, place])
        found = []
        for fold in range(max(fold_of) + 1):
            for i in np.flatnonzero(fold_of == fold):
                scores = random.normal(size=len(classes))
                scores[labels[i]] += signal
                values = np.exp(scores) / np.exp(scores).sum()
                row = Prediction(*names[i], fold, None, tuple(map(float, values)))
                found.append(row)
        rows.append(AuditRow(features, "logistic", "", tuple(found)))
    RunFolder(path).add(AUDIT, Audit(tuple(classes), tuple(rows)).to_csv())


def rename_source(path, source):
    stored = json.loads((path / "experiment.json").read_text())
    (path / "experiment.json").write_text(json.dumps({**stored, "source": source}))


def unseal(path, **changes):
    """Make a run one of version 0.1, which nothing vouches for as a whole."""
    stored = json.loads((path / "experiment.json").read_text())
    stored.pop("sealed")
    (path / "digests.json").unlink()
    (path / "experiment.json").write_text(json.dumps({**stored, **changes}))
