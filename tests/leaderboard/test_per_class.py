"""Each class of several: confusions, recall and AUC agree with scikit-learn's, fold by fold."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.metrics import confusion_matrix, recall_score, roc_auc_score

from tests.report.made_runs import write_run
from volbench.cli.main import main
from volbench.leaderboard import load_run

CLASSES = ("NOR", "DCM", "HCM", "MINF", "RV")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classes")
    return write_run(folder, "several", classes=CLASSES, cases=100, skill=1.0)


def compare(*arguments):
    done = CliRunner().invoke(main, ["compare", *map(str, arguments)])
    assert done.exit_code == 0, done.stderr
    return done.stdout


def test_values_are_those_of_scikit_learn(run):
    (table,) = json.loads(compare(run, "--format", "json"))["tables"]
    found = table["rows"][0]["classes"]
    rows = [row for fold in load_run(run).predictions.values() for row in fold]
    labels = np.array([CLASSES.index(row.label) for row in rows])
    probabilities = np.array([row.probabilities for row in rows])
    folds = np.array([row.fold for row in rows])
    decided = probabilities.argmax(axis=1)
    assert [each["called"] for each in found] == confusion_matrix(labels, decided).tolist()
    recalls = recall_score(labels, decided, average=None)
    assert [each["recall"] for each in found] == pytest.approx(recalls)
    for place, each in enumerate(found):
        areas = [
            roc_auc_score(labels[folds == fold] == place, probabilities[folds == fold, place])
            for fold in range(5)
        ]
        assert each["auc_mean"] == pytest.approx(np.mean(areas))
        assert each["auc_std"] == pytest.approx(np.std(areas, ddof=1))
    macro = np.mean([each["auc_mean"] for each in found])
    assert table["rows"][0]["auc_mean"] == pytest.approx(macro)


def test_the_table_says_what_the_auc_of_several_classes_is(run):
    shown = " ".join(compare(run, "--per-class").split())
    assert "Each class: rmc5, average, focal" in shown
    assert "mean over classes of the AUC of each one against the rest (one-vs-rest, macro)" in shown
    assert "Each class" not in compare(run)
