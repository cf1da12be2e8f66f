"""Clinical columns: alone, and fused with a network, on the network's own folds."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.preprocessing import StandardScaler

from tests.helpers.small import write_small
from volbench._utils.seeds import derive_seed
from volbench.audit import read_audit
from volbench.audit.columns import number_column, text_column
from volbench.cli.main import main
from volbench.crossval.late_fusion import CaseTable, fit_columns, fit_fusion, log_ratios
from volbench.crossval.tabular import scores_by_case
from volbench.errors import DataError, UsageError
from volbench.experiment.splits import FoldPartition
from volbench.leaderboard import compare_runs, find_runs, load_run
from volbench.model_card import card_markdown
from volbench.predict.trained_run import load_trained
from volbench.report import make_report
from volbench.runs.folder import FUSION, MODEL, RunFolder
from volbench.runs.load import read_history
from volbench.runs.predictions_file import Prediction

OPTIONS = (
    *("run", "--encoder", "r2d(width=2)", "--agg", "max", "--loss", "cross_entropy"),
    *("--folds", "2", "--jobs", "1", "--device", "cpu", "--precision", "float32"),
    *("--set", "training.epochs=1", "--name", "image"),
)


def column_values(number):
    """Values of the cases, whose label is the parity of their number."""
    random = np.random.default_rng(number)
    return {
        "age": str(40 + number % 7),
        "cea": "" if number % 10 == 0 else f"{random.normal(number % 2, 1.0):.2f}",
        "leak": "ab"[number % 2],
        "name": f"n{number}",
        "same": "x",
    }


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "small"
    write_small(folder, cases=40, columns=column_values)
    return "--data", str(folder)


def volbench(*arguments):
    done = CliRunner().invoke(main, list(map(str, arguments)))
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture(scope="module")
def runs(tmp_path_factory, data):
    """An image run, its columns alone and both, with what was said."""
    out = tmp_path_factory.mktemp("tabular")
    code, said, heard = volbench(*OPTIONS, *data, "--tabular", "age,cea", "--out", out)
    assert code == 0, heard
    return out, said, heard


def loaded(out):
    return {("network" if r.uses_images else "") + ("columns" if r.columns else ""): r
            for r in map(load_run, find_runs([out]))}  # fmt: skip


def test_one_command_gives_three_rows_that_are_paired_on_the_same_folds(runs):
    out, said, heard = runs
    found = loaded(out)
    assert set(found) == {"network", "columns", "networkcolumns"}
    assert len({run.protocol for run in found.values()}) == 1
    comparison = compare_runs(list(found.values()), resamples=50)
    assert [row.status for row in comparison.rows] == ["complete"] * 3
    assert len(comparison.pairs) == 3
    assert {row.encoder for row in comparison.rows} == {
        "r2d(width=2)",
        "age, cea",
        "r2d(width=2) + age, cea",
    }
    assert "columns alone: mean AUC" in said
    assert "network and columns: mean AUC" in said
    assert "column cea: " in heard
    assert "without a value" in heard
    assert heard.count("running shortcut baselines") == 1  # for all three, on the same folds


def test_the_columns_alone_are_the_shortcut_baseline_of_the_audit(tmp_path, data):
    code, _, heard = volbench(*OPTIONS, *data, "--tabular", "cea", "--out", tmp_path)
    assert code == 0, heard
    alone = loaded(tmp_path)["columns"]
    audit = read_audit(tmp_path / "image" / "audit.csv")
    (row,) = [r for r in audit.rows if (r.features, r.model) == ("stratum cea", "logistic")]
    theirs = {one.case: one.probabilities for one in row.predictions}
    ours = {one.case: one.probabilities for fold in alone.predictions.values() for one in fold}
    assert ours.keys() == theirs.keys()
    assert max(abs(ours[case][1] - theirs[case][1]) for case in ours) < 1e-8


def test_columns_count_in_the_id_and_images_alone_keep_theirs(runs):
    out, _, _ = runs
    found = loaded(out)
    assert len({run.experiment["id"] for run in found.values()}) == 3
    assert "tabular" not in found["network"].experiment
    assert found["networkcolumns"].experiment["tabular"]["columns"] == ["age", "cea"]


def test_the_same_command_again_fits_nothing(runs, data):
    out, _, _ = runs
    fused = loaded(out)["networkcolumns"].path
    before = (fused / "folds/00/result.json").read_bytes()
    assert volbench(*OPTIONS, *data, "--tabular", "age,cea", "--out", out)[0] == 0
    assert (fused / "folds/00/result.json").read_bytes() == before
    told = json.loads((fused / "folds/00" / FUSION).read_text())
    network = load_run(out / "image").results[0]
    assert told["network"] == network.sha256["predictions.csv"]
    assert [term.split(":")[0] for term in told["terms"]] == ["network", "columns"]


def test_other_scores_of_the_network_are_fused_anew(runs, data, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(runs[0], out)
    fused, network = loaded(out)["networkcolumns"], load_run(out / "image")
    rows = network.predictions[0]
    swapped = [replace(row, probabilities=row.probabilities[::-1]) for row in rows]
    place = RunFolder(out / "image").fold(0)
    place.write_success(
        replace(network.results[0], sha256={}),
        swapped,
        network.classes,
        read_history(network, 0).to_dict("records"),
        (place.path / MODEL).read_bytes(),
        validation=network.validation[0],
    )
    code, _, heard = volbench(*OPTIONS, *data, "--tabular", "age,cea", "--out", out)
    assert code == 0, heard
    again = loaded(out)["networkcolumns"]
    assert again.predictions[0] != fused.predictions[0]
    assert again.predictions[1] == fused.predictions[1]
    told = json.loads((again.path / "folds/00" / FUSION).read_text())
    assert told["network"] == load_run(out / "image").results[0].sha256["predictions.csv"]


def test_a_networks_scores_are_found_by_case_whatever_the_order_of_its_rows():
    rows = [
        Prediction(case, f"patient {case}", "A", 0, number, (1 - p, p))
        for case, p in {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4}.items()
        for number in (0, 1)
    ]
    for given in (rows, rows[::-1]):
        found = scores_by_case(given, ("A", "B"), ["c", "a", "d", "b"])
        assert found[:, 1] == pytest.approx([0.3, 0.1, 0.4, 0.2])
    with pytest.raises(DataError, match="the network has predicted other cases than this fold"):
        scores_by_case(rows, ("A", "B"), ["c", "a", "d"])


def test_report_and_card_say_what_was_fitted_on_what(runs):
    out, _, _ = runs
    found = loaded(out)
    page = make_report(found.values())
    assert "late fusion" in page
    assert "It uses no image" in page
    assert "Missing values: cea of" in page
    card = card_markdown(found["columns"])
    assert "logistic regression on the clinical columns age, cea, without any image" in card
    assert "late fusion" in card_markdown(found["networkcolumns"])
    with pytest.raises(UsageError, match="predicts from clinical columns and holds no network"):
        load_trained(found["columns"].path)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ("label", "is the label itself"),
        ("ages", "did you mean 'age'?"),
        ("age,age", "give each column once"),
        ("leak", "this column alone tells the label"),
        ("name", "a name and no measurement"),
        ("same", "every case has the same value"),
    ],
)
def test_columns_that_cannot_be_predicted_from_are_refused(tmp_path, data, columns, reason):
    code, _, heard = volbench(*OPTIONS, *data, "--tabular", columns, "--out", tmp_path, "--dry-run")
    assert code == 2
    assert reason in heard


def test_without_an_inner_part_there_is_nothing_to_fit_the_fusion_on(tmp_path, data):
    last = ("--set", "selection.checkpoint=last", "--tabular", "age", "--out", tmp_path)
    code, _, heard = volbench(*OPTIONS, *data, *last)
    assert code == 2
    assert "use --set selection.checkpoint=validation" in heard


def cohort(cases=400, classes=2):
    random = np.random.default_rng(3)
    labels = np.arange(cases) % classes
    cea = random.normal(labels, 1.0)
    network = random.dirichlet(np.ones(classes), cases) + 0.8 * np.eye(classes)[labels]
    network /= network.sum(axis=1, keepdims=True)
    table = CaseTable(
        [
            number_column("cea", [None if n % 10 == 0 else value for n, value in enumerate(cea)]),
            text_column("sex", ["fm"[n % 2 if n % 7 else 0] for n in range(cases)]),
        ],
        labels,
        np.array([f"p{n}" for n in range(cases)]),
        tuple("ABC"[:classes]),
    )
    each = cases // 4
    part = FoldPartition(
        tuple(range(2 * each)), tuple(range(2 * each, 3 * each)), tuple(range(3 * each, cases))
    )
    return table, part, network


def test_the_inner_part_is_predicted_by_a_model_that_does_not_know_it():
    table, part, _ = cohort()
    blind = fit_columns(table, FoldPartition(part.train, (), part.validation), seed=0)
    assert np.array_equal(fit_columns(table, part, seed=0).validation, blind.test)


def test_a_patient_of_the_inner_part_is_predicted_by_a_fusion_of_other_patients():
    table, part, network = cohort()
    patients = np.array([f"p{n // 4}" for n in range(len(table.labels))])  # with cases of both
    table = CaseTable(table.columns, table.labels, patients, table.classes)
    inner, test = list(part.validation), list(part.test)
    fused = fit_fusion(table, part, (network[inner], network[test]), seed=0)
    own = fit_columns(table, FoldPartition(part.train, (), part.validation), seed=0).test
    both = np.concatenate([log_ratios(network[inner]), log_ratios(own)], axis=1)
    truth = table.labels[inner]
    divided = StratifiedGroupKFold(5, shuffle=True, random_state=derive_seed(0, "fusion") % 2**32)
    for rest, held_out in divided.split(both, truth, patients[inner]):
        scaler = StandardScaler().fit(both[rest])
        model = LogisticRegression().fit(scaler.transform(both[rest]), truth[rest])
        expected = model.predict_proba(scaler.transform(both[held_out]))
        assert fused.validation[held_out] == pytest.approx(expected, abs=1e-6)


def test_poisoned_labels_of_held_out_cases_change_no_prediction():
    table, part, network = cohort()
    scores = network[list(part.validation)], network[list(part.test)]
    poisoned = table.labels.copy()
    poisoned[list(part.test)] = 1 - poisoned[list(part.test)]
    other = CaseTable(table.columns, poisoned, table.patients, table.classes)
    for ours, theirs in (
        (fit_columns(table, part, seed=0), fit_columns(other, part, seed=0)),
        (fit_fusion(table, part, scores, seed=0), fit_fusion(other, part, scores, seed=0)),
    ):
        assert np.array_equal(ours.test, theirs.test)
        assert np.array_equal(ours.validation, theirs.validation)


def test_the_fusion_is_a_logistic_regression_of_both_scores_on_the_inner_part():
    table, part, network = cohort()
    inner, test = list(part.validation), list(part.test)
    fused = fit_fusion(table, part, (network[inner], network[test]), seed=0)
    columns = fit_columns(
        table, FoldPartition(part.train, (), (*part.validation, *part.test)), seed=0
    )
    own = log_ratios(columns.test)
    both = np.concatenate([log_ratios(network[inner + test]), own], axis=1)
    scaler = StandardScaler().fit(both[: len(inner)])
    model = LogisticRegression().fit(scaler.transform(both[: len(inner)]), table.labels[inner])
    expected = model.predict_proba(scaler.transform(both[len(inner) :]))
    assert fused.test == pytest.approx(expected, abs=1e-6)


def test_both_together_beat_either_where_each_knows_something_of_its_own():
    from sklearn.metrics import roc_auc_score

    table, part, network = cohort(2000)
    inner, test = list(part.validation), list(part.test)
    truth = table.labels[test]
    fused = fit_fusion(table, part, (network[inner], network[test]), seed=0)
    alone = fit_columns(table, part, seed=0)
    both, one, other = (
        roc_auc_score(truth, found[:, 1]) for found in (fused.test, alone.test, network[test])
    )
    assert both > max(one, other) + 0.01
    assert len(fused.fitted["weights"][0]) == 2
    assert min(fused.fitted["weights"][0]) > 0


def test_several_classes_are_fused_too():
    table, part, network = cohort(600, classes=3)
    inner, test = list(part.validation), list(part.test)
    fused = fit_fusion(table, part, (network[inner], network[test]), seed=0)
    assert fused.test.shape == (150, 3)
    assert fused.test.sum(axis=1) == pytest.approx(1)
    assert len(fused.fitted["terms"]) == 4
