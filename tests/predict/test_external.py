"""Runs on patients they never saw: against scikit-learn, `predict` and pairs by hand."""

import json
import math
import random
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.metrics import recall_score, roc_auc_score

from tests.helpers.volumes_on_disk import image, write
from tests.helpers.written_runs import write_rival
from tests.predict.trained_runs import label, train, voxels, write_csv, write_volumes
from volbench.cli.main import main
from volbench.errors import DataError
from volbench.evaluation import gather
from volbench.evaluation.clinical import calibration_line, recalibrated
from volbench.evaluation.metrics import metrics_for
from volbench.evaluation.statistics import bootstrap_interval, delong, delong_test, holm
from volbench.leaderboard import load_run
from volbench.predict import Ensemble, external, preparation
from volbench.predict.external import evaluate
from volbench.report.external_json import external_json, read_external
from volbench.report.external_page import external_page

NEW = 16


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    volumes = write_volumes(tmp_path_factory.mktemp("volumes") / "data")
    out = tmp_path_factory.mktemp("runs")
    return [
        train(out / "one", volumes / "plain.csv"),
        train(out / "two", volumes / "plain.csv", encoder="r2d(width=2)", aggregator="max"),
    ]


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """Two volumes a patient, of two scanners; what is 150 brighter there is 60 brighter here."""
    folder = tmp_path_factory.mktemp("elsewhere")
    rows = []
    for number in range(NEW):
        made = voxels(200 + number) - (voxels(200 + number) > 250).astype("<u2") * 90
        write(folder / f"new{number:02d}.nii.gz", image(made))
        patient = f"other{number // 4 * 2 + number % 2}"
        rows.append(f"new{number:02d}.nii.gz,{label(number)},{patient},{'AB'[number // 8]}")
    write_csv(folder / "external.csv", "image,label,patient,scanner", rows)
    return folder / "external.csv"


@pytest.fixture(scope="module")
def found(runs, elsewhere):
    return evaluate(runs, elsewhere, columns=("scanner",), resamples=200)


def test_areas_and_recalls_are_those_of_scikit_learn_on_what_predict_says(found, runs, elsewhere):
    truth = np.array([number % 2 for number in range(NEW)])
    for path in runs:
        said = Ensemble(path).predict([elsewhere])
        p = np.array([one.probabilities["T3"] for one in said])
        (run,) = (each for each in found.runs if np.allclose(each.probabilities[:, 1], p))
        assert run.auc[0] == pytest.approx(roc_auc_score(truth, p))
        assert run.metrics["recall_T3"][0] == pytest.approx(recall_score(truth, p >= 0.5))
        for fold, area in enumerate(run.by_fold):
            alone = [one.by_fold[fold, 1] for one in said]
            assert area == pytest.approx(roc_auc_score(truth, alone))
        assert run.drop[0] == pytest.approx(run.auc[0] - run.internal)
        assert run.auc[1] <= run.auc[0] <= run.auc[2] <= 1


def test_volumes_are_read_once_for_runs_that_prepare_them_alike(
    runs, elsewhere, tmp_path, monkeypatch
):
    read = []

    def try_case(case, options, channels):
        read.append((case.name, options.size))
        return as_it_is(case, options=options, channels=channels)

    as_it_is = preparation.try_case
    monkeypatch.setattr(preparation, "try_case", try_case)
    evaluate(runs, elsewhere, resamples=100)
    assert len(read) == len(set(read)) == NEW
    other = train(
        tmp_path / "other",
        write_volumes(tmp_path / "data") / "plain.csv",
        "preprocessing.size=12",
    )
    read.clear()
    alone = evaluate([other], elsewhere, resamples=100)
    found = evaluate([runs[0], other, runs[1]], elsewhere, resamples=100)
    assert len(read) == NEW + 2 * NEW  # once in each of two sizes
    same = [np.array_equal(each.probabilities, alone.runs[0].probabilities) for each in found.runs]
    assert same.count(True) == 1


def test_two_runs_are_paired_by_delong_with_whole_patients(found):
    (pair,) = found.pairs
    first, second = found.runs
    assert first.auc[0] >= second.auc[0]
    test = delong_test(
        found.labels,
        first.probabilities[:, 1],
        second.probabilities[:, 1],
        clusters=np.array(found.patients),
    )
    assert pair.difference == pytest.approx((test.difference, test.low, test.high))
    assert pair.p == pair.p_holm == pytest.approx(test.p, nan_ok=True)


def test_intervals_are_those_of_patients_not_of_cases(runs, found):
    patients = np.array(found.patients)
    assert len(set(patients)) < len(patients)
    loaded = [load_run(path) for path in runs]
    for run in found.runs:
        (own_run,) = [each for each in loaded if each.experiment["id"] == run.experiment_id]
        areas = delong(found.labels, run.probabilities[None], clusters=patients)
        error = float(np.sqrt(areas.covariance[0, 0]))
        ends = run.auc[0] - 1.959964 * error, run.auc[0] + 1.959964 * error
        assert run.auc[1:] == pytest.approx((max(0, ends[0]), min(1, ends[1])), abs=1e-6)
        rows = [row for each in own_run.predictions.values() for row in each]
        items = gather(rows, found.classes)
        own = delong(
            items.labels, items.probabilities[None], clusters=np.array(items.patients),
            folds=items.folds, undefined="omit",
        )  # fmt: skip
        both = 1.959964 * float(np.sqrt(areas.covariance[0, 0] + own.covariance[0, 0]))
        assert own.covariance[0, 0] > 0
        assert run.drop[1:] == pytest.approx(
            (max(-1, run.drop[0] - both), min(1, run.drop[0] + both)), abs=1e-6
        )
        interval = bootstrap_interval(
            found.labels, run.probabilities, metric=metrics_for(found.classes)["brier"],
            clusters=patients, resamples=200,
        )  # fmt: skip
        assert run.metrics["brier"] == (interval.estimate, interval.low, interval.high)


def test_recalibration_is_learned_on_the_inner_parts_alone(runs, found):
    loaded = [load_run(path) for path in runs]
    for run in found.runs:
        (own_run,) = [each for each in loaded if each.experiment["id"] == run.experiment_id]
        inner = [row for rows in own_run.validation.values() for row in rows]
        line = calibration_line(
            np.array([found.classes.index(row.label) for row in inner]),
            np.array([row.probabilities[1] for row in inner]),
        )
        positive = recalibrated(run.probabilities[:, 1], line)
        expected = np.mean((positive - found.labels) ** 2)
        assert run.recalibrated_brier == pytest.approx(expected)
        external_line = vars(calibration_line(found.labels, run.probabilities[:, 1]))
        assert vars(run.calibration) == pytest.approx(external_line, nan_ok=True)


def test_three_runs_are_adjusted_by_holm_and_a_group_counts_patients(found):
    draw = np.random.default_rng(0)
    many = np.tile(found.labels, 4)
    patients = [f"{place}{patient}" for place in range(4) for patient in found.patients]
    runs = []
    for name, gain in (("a", 3.0), ("b", 1.0), ("c", 0.0)):
        score = 1 / (1 + np.exp(-gain * (2 * many - 1) - draw.normal(size=len(many))))
        scores = np.stack([1 - score, score], axis=1)
        runs.append(replace(found.runs[0], name=name, probabilities=scores))
    pairs = external._pairs(runs, many, patients, 0.05)
    p = np.array([pair.p for pair in pairs])
    assert [pair.p_holm for pair in pairs] == pytest.approx(holm(p))
    assert (np.array([pair.p_holm for pair in pairs]) > p).any()


def test_runs_of_other_classes_are_not_evaluated_together(runs, elsewhere, monkeypatch):
    class Graded(Ensemble):
        def __init__(self, path, **options):
            super().__init__(path, **options)
            if path == runs[1]:
                self.trained = SimpleNamespace(classes=("T2", "T3", "T4"))

    monkeypatch.setattr(external, "Ensemble", Graded)
    with pytest.raises(DataError, match=r"has other classes than .*; evaluate them apart"):
        evaluate(runs, elsewhere, resamples=200)


def test_groups_too_small_for_an_area_have_their_number_only(found):
    groups = found.runs[0].strata["scanner"]
    assert {group: cases for group, (cases, _) in groups.items()} == {"A": 8, "B": 8}
    assert all(np.isnan(span[0]) for _, span in groups.values())


def test_a_threshold_is_that_of_the_inner_parts(runs, elsewhere):
    (run,) = evaluate(runs[:1], elsewhere, threshold="youden", resamples=200).runs
    assert 0 <= run.threshold <= 1
    assert run.threshold != 0.5
    truth = np.array([label(number) == "T3" for number in range(NEW)])
    called = run.probabilities[:, 1] >= run.threshold
    assert run.metrics["recall_T3"][0] == pytest.approx(recall_score(truth, called))
    assert (called != (run.probabilities[:, 1] >= 0.5)).any()


def test_every_option_of_the_command_reaches_the_evaluation(runs, elsewhere, monkeypatch):
    asked = {}

    def note(paths, manifest, **options):
        asked.update(options, manifest=manifest, paths=paths)
        raise DataError("seen")

    monkeypatch.setattr(external, "evaluate", note)
    words = "--threshold sensitivity=0.9 --by scanner --by site --seed 7 --device cpu"
    words += " --precision float32 --anyway --jobs 3"
    arguments = ["evaluate", str(runs[0]), "--data", str(elsewhere), *words.split()]
    assert CliRunner().invoke(main, arguments).exit_code == 3
    asked.pop("on_run")
    assert asked == {
        "paths": [runs[0]], "manifest": elsewhere, "threshold": "sensitivity=0.9",
        "columns": ("scanner", "site"), "seed": 7, "device": "cpu", "precision": "float32",
        "anyway": True, "jobs": 3,
    }  # fmt: skip


def test_of_a_folder_the_runs_of_clinical_columns_are_left_out_and_named(
    elsewhere, tmp_path, monkeypatch
):
    """As ``run --tabular`` writes them beside the run of the network."""
    asked = []

    def note(paths, manifest, **options):
        asked.append([path.name for path in paths])
        raise DataError("seen")

    monkeypatch.setattr(external, "evaluate", note)
    for name in ("image", "columns"):
        path = write_rival(tmp_path, name) / "experiment.json"
        tabular = {} if name == "image" else {"tabular": {"columns": ["age"], "fused": False}}
        path.write_text(json.dumps(json.loads(path.read_text()) | tabular))
    data = ["--data", str(elsewhere)]
    done = CliRunner().invoke(main, ["evaluate", str(tmp_path), *data])
    assert asked == [["image"]]
    assert "left out, as they predict from clinical columns: columns" in done.stderr
    CliRunner().invoke(main, ["evaluate", str(tmp_path / "columns"), *data])
    assert asked[1:] == [["columns"]]  # asked for by name: refused where it is opened


def test_parts_that_are_separated_completely_recalibrate_nothing_and_are_told(
    runs, elsewhere, monkeypatch
):
    real = external.calibration_line

    def inner_parts_are_separated(labels, probabilities):
        line = real(labels, probabilities)
        return line if len(labels) == NEW else replace(line, slope=math.nan, offset=math.nan)

    monkeypatch.setattr(external, "calibration_line", inner_parts_are_separated)
    (run,) = evaluate(runs[:1], elsewhere, resamples=100).runs
    assert math.isnan(run.recalibrated_brier)
    assert external.NOT_RECALIBRATED in run.warnings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: row.replace("other0", "p3"), "was trained on patient 'p3' of case '.*new00"),
        (lambda row: row.replace("T2", "T9"), "has label 'T9'; the runs know T2, T3"),
        (lambda row: row.replace("T2", "T3"), "has no case of the class 'T2'"),
        (lambda row: row.replace("other0", ""), "has no patient"),
    ],
)
def test_what_is_not_external_or_not_labelled_is_refused(
    runs, elsewhere, tmp_path, change, message
):
    head, *rows = elsewhere.read_text().splitlines()
    rows = [str(elsewhere.parent / change(row)) for row in rows]
    with pytest.raises(DataError, match=message):
        evaluate(runs[:1], write_csv(tmp_path / "changed.csv", head, rows), resamples=200)


def test_the_command_shows_tables_a_page_and_the_same_numbers_as_json(
    runs, elsewhere, tmp_path, found
):
    arguments = ["evaluate", *map(str, runs), "--data", str(elsewhere), "--by", "scanner"]
    shown = CliRunner().invoke(main, arguments)
    assert shown.exit_code == 0, shown.output
    for words in ("16 cases of 8 patients", "At the frozen threshold", "Pairs", "AUC by scanner"):
        assert words in shown.output, words
    page = tmp_path / "external.html"
    one_run = [*arguments[:2], *arguments[3:], "--output", str(page)]
    assert CliRunner().invoke(main, one_run).exit_code == 0
    text = page.read_text()
    assert text.lstrip().startswith("<!")
    assert text.count("<svg") == 2  # ROC curves over one another, one calibration curve
    assert f"AUC {found.runs[0].auc[0]:.3f}" in text or f"AUC {found.runs[1].auc[0]:.3f}" in text
    assert "style=" not in text.split("<body>")[1]
    assert text.index("ROC curves of the ensembles") < text.index("Thresholds, pairs and groups")
    written = CliRunner().invoke(main, [*arguments, "--format", "json"])
    values = json.loads(written.stdout)
    assert values["runs"][0]["auc"]["value"] == pytest.approx(found.runs[0].auc[0])
    assert values["patients"] == 8


def test_an_evaluation_read_back_from_its_json_is_the_same(found, tmp_path):
    told = [
        replace(run, threshold=0.3 + place / 10, warnings=(f"of {run.name}", "and more"))
        for place, run in enumerate(found.runs)
    ]
    found = replace(
        found, runs=tuple(told), pairs=tuple(replace(pair, p_holm=0.77) for pair in found.pairs)
    )
    path = tmp_path / "external.json"
    path.write_text(json.dumps(external_json(found)))
    again = read_external(path)
    assert external_json(again) == external_json(found)
    assert external_page(again) == external_page(found)
    assert again.labels.tolist() == found.labels.tolist()
    for one, other in zip(again.runs, found.runs, strict=True):
        assert one.probabilities.tolist() == other.probabilities.tolist()


def places_of(value, place=()):
    """Every place in a JSON document."""
    yield place
    if isinstance(value, dict):
        for key in value:
            yield from places_of(value[key], (*place, key))
    elif isinstance(value, list) and value:
        yield from places_of(value[0], (*place, 0))


def put(document, place, value):
    """A document with another value at a place."""
    if not place:
        return value
    copied = json.loads(json.dumps(document))
    inner = copied
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return copied


def test_a_file_with_one_value_of_another_kind_is_drawn_or_refused(found, tmp_path):
    document = external_json(found)
    path = tmp_path / "external.json"
    odd = (None, [], {}, "x", -1, 1e99, [[]], True, [0.5], {"x": 1})
    wrong = [(place, value) for place in places_of(document) for value in odd]
    refused, drawn = 0, 0
    for place, value in random.Random(0).sample(wrong, 80):
        path.write_text(json.dumps(put(document, place, value)))
        try:
            read = read_external(path)
        except DataError as error:
            assert str(path) in str(error)  # noqa: PT017
            refused += 1
            continue
        drawn += 1
        if drawn <= 8:
            external_page(read)
    assert min(refused, drawn) > 8
    for text in (b"", b"[" * 100_000, b"\xff", b"null", b"{}"):
        path.write_bytes(text)
        with pytest.raises(DataError, match="is no evaluation to report"):
            read_external(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document["labels"].pop(),
        lambda document: document["patient_of_case"].pop(),
        lambda document: document["runs"][1]["probabilities"].pop(),
        lambda document: [row.append(0.0) for row in document["runs"][1]["probabilities"]],
        lambda document: document["runs"][1]["probabilities"][3].__setitem__(0, 1.5),
        lambda document: document["runs"][1]["metrics"].pop("recall_T3"),
        lambda document: document["runs"][1]["strata"].pop("scanner"),
        lambda document: document["runs"].clear(),
        lambda document: document["runs"][1].update(auc_by_fold=[]),
        lambda document: document.update(labels=["T2"] * NEW),
    ],
)
def test_an_evaluation_whose_parts_do_not_fit_together_is_refused(change, found, tmp_path):
    document = json.loads(json.dumps(external_json(found)))
    change(document)
    path = tmp_path / "external.json"
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match="is no evaluation to report"):
        read_external(path)


def test_curves_of_all_runs_lie_over_one_another_with_their_areas(found):
    page = external_page(found)
    assert page.count("<svg") == 1 + len(found.runs)
    for run in found.runs:
        assert f"{run.name}: AUC {run.auc[0]:.3f}, 95 % interval {run.auc[1]:.3f}" in page
        assert f">{run.name}: AUC {run.auc[0]:.3f}</span>" in page


def test_a_report_has_a_section_for_each_evaluation_of_its_runs(runs, found, tmp_path):
    path = tmp_path / "external.json"
    path.write_text(json.dumps(external_json(found)))
    out = tmp_path / "report.html"
    arguments = ["report", *map(str, runs), "--external", str(path), "--output", str(out)]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    text = out.read_text()
    assert '<a href="#external1">External evaluation on' in text
    section = text[text.index('<section id="external1">') :]
    assert f"AUC {found.runs[0].auc[0]:.3f}, 95 % interval" in section
    assert "AUC by scanner" in section
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_an_evaluation_of_other_runs_and_a_file_that_is_none_are_refused(runs, found, tmp_path):
    other = replace(found, runs=tuple(replace(run, experiment_id="x") for run in found.runs))
    path = tmp_path / "external.json"
    for values, message in (
        (external_json(other), "is of none of the runs of this report"),
        ({"schema": 1, "runs": []}, "is no evaluation to report; write it anew"),
        ([1], "is no evaluation to report"),
    ):
        path.write_text(json.dumps(values))
        done = CliRunner().invoke(
            main, ["report", *map(str, runs), "--external", str(path), "--output", str(path)]
        )
        assert done.exit_code == 3, done.output
        assert message in done.output
        assert "Traceback" not in done.output
