"""Run folders written as if they had been trained, with predictions of a known strength."""

import json

import numpy as np

from volbench.audit import Audit, AuditRow
from volbench.files import write_json
from volbench.records import FoldResult, RunFolder
from volbench.rows import Prediction

SITES = "ABC"


def write_run(
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
):
    """Write a run. Runs of equal `split` and `patients` have the same cases in the same folds.

    Args:
        signal: Distance of the classes, in standard deviations of the noise.
        shared: Share of the noise that all runs have in common.
        one_class_in: A fold whose cases are all of the last class.
        audit: Strength of a row "geometry" in audit.csv; None means no such file.
    """
    labels, fold_of, hard = cohort(patients, folds, len(classes), split, one_class_in)
    folder = RunFolder(out / name)
    experiment = {
        "id": name, "source": "manifest(path='/somewhere/hospital/manifest.csv')",
        "summary": summary, "encoder": encoder, "aggregator": aggregator, "loss": loss,
        "level": "volume" if aggregator else "slice", "recipe": {}, "precision": "auto",
        "data_digest": data * 64, "split_digest": split * 64, "folds": folds, "seed": seed,
    }  # fmt: skip
    write_json(folder.path / "experiment.json", {"schema": 1, **experiment})
    machine = {"device": "cpu", "precision": "float32", "processor": "A", "cores": 2, "threads": 1}
    write_json(folder.path / "environment.json", {"schema": 1, **machine, **(environment or {})})
    names = [(f"c{i:03}", f"p{i:03}", classes[label]) for i, label in enumerate(labels)]
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

    for fold in range(folds):
        held = [row for i in range(patients) if fold_of[i] == fold for row in predict(i, fold)]
        inner = [
            row
            for i in range(patients)
            if fold_of[i] == (fold + 1) % folds
            for row in predict(i, fold)
        ]
        if fold in failed:
            folder.fold(fold).write_failure("TrainingError: the loss is not a number")
        elif done is None or fold < done:
            result = FoldResult(
                fold, "finished", seconds=seconds, samples_per_second=20.0, parameters=6_960_000,
                peak_memory_mb=1400.0, device="cpu", precision="float32", threads=1,
            )  # fmt: skip
            folder.fold(fold).write_success(
                result, held, classes, [{"epoch": 1, "train_loss": 0.0}], b"weights",
                validation=inner if validation else (),
            )  # fmt: skip
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
    (path / "audit.csv").write_text(Audit(tuple(classes), tuple(rows)).to_csv())


def rename_source(path, source):
    stored = json.loads((path / "experiment.json").read_text())
    (path / "experiment.json").write_text(json.dumps({**stored, "source": source}))
