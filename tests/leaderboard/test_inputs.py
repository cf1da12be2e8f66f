"""Runs on other images of the same patients: paired where patients, labels and folds are equal."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from tests.helpers.written_runs import rename_source, write_rival
from volbench import compare
from volbench.cli.main import main
from volbench.errors import StateError
from volbench.leaderboard import compare_runs, load_run, tables_of
from volbench.runs.folder import RunFolder


def source(name):
    return f"manifest(path='/somewhere/{name}.csv')"


@pytest.fixture
def one(tmp_path):
    path = write_rival(tmp_path / "runs", "ed", signal=0.8)
    rename_source(path, source("ed"))
    return path


@pytest.fixture
def both(tmp_path):
    path = write_rival(tmp_path / "runs", "edes", signal=2.5, noise=1, data="f")
    rename_source(path, source("edes"))
    return path


def said(*arguments):
    found = CliRunner().invoke(main, ["compare", *map(str, arguments)])
    return found.exit_code, " ".join(found.stdout.split()), found.stderr


def test_runs_named_one_by_one_are_paired_and_a_line_says_what_differs(one, both):
    code, out, err = said(one, both)
    assert code == 0, err
    assert "Inputs differ, patients, labels and folds do not. edes on somewhere/edes.csv" in out
    assert "somewhere/edes.csv / somewhere/ed.csv: 60 cases of 60 patients, 5 folds" in out
    assert "cannot be compared" not in out


def test_the_pair_is_that_of_the_same_cases(one, both):
    (table,) = tables_of([load_run(one), load_run(both)], across_inputs=True)
    (pair,) = compare_runs(table).pairs
    same = write_rival(one.parent, "same", signal=2.5, noise=1)
    (expected,) = compare_runs([load_run(one), load_run(same)]).pairs
    assert (pair.difference, pair.p_holm) == pytest.approx((expected.difference, expected.p_holm))


def test_a_folder_gives_tables_apart_unless_asked(one, both):
    _, out, _ = said(one.parent)
    assert "cannot be compared with one another" in out
    assert len(compare(one.parent)) == 2
    _, out, _ = said(one.parent, "--across-inputs")
    assert "Inputs differ" in out
    (table,) = compare(one.parent, across_inputs=True)
    assert len(table.pairs) == 1


def test_json_names_the_data_of_each_row(one, both):
    found = CliRunner().invoke(main, ["compare", str(one), str(both), "--format", "json"])
    (table,) = json.loads(found.stdout)["tables"]
    assert table["differing"] == ["inputs"]
    assert [row["inputs"] for row in table["rows"]] == ["somewhere/edes.csv", "somewhere/ed.csv"]


def test_cases_with_other_names_are_paired_by_patient(one, both):
    plain = compare_runs([load_run(one), load_run(both)]).pairs[0]
    other = write_rival(both.parent, "es", signal=2.5, noise=1, data="f", suffix="-es")
    (table,) = tables_of([load_run(one), load_run(other)], across_inputs=True)
    found = compare_runs(table)
    assert (found.unit, found.repeats) == ("patient", 1)
    (pair,) = found.pairs
    assert pair.difference == pytest.approx(plain.difference)
    assert pair.test == "combined"
    assert not np.isnan(found.rows[0].score("auc").low)
    _, out, _ = said(one, other)
    assert "cases have other names, so patients are paired" in out
    with pytest.raises(StateError, match="--unit patient"):
        compare_runs(table, unit="case")


@pytest.mark.parametrize(
    ("change", "what"),
    [("split", "patients, labels or folds"), ("patients", "different patients or labels")],
)
def test_other_folds_or_patients_stay_refused(change, what, one, tmp_path):
    other = {"split": {"split": "q"}, "patients": {"patients": 54}}[change]
    path = write_rival(tmp_path / "others", "other", data="f", **other)
    code, out, err = said(one, path)
    assert (code, out) == (5, "")
    assert what in err


def test_other_labels_stay_refused(one, tmp_path):
    path = write_rival(tmp_path / "others", "other", data="f", classes=("T1", "T3"))
    code, _, err = said(one, path)
    assert code == 5
    assert "different patients or labels" in err


def test_the_bar_is_the_best_shortcut_of_any_of_the_inputs(tmp_path):
    weak = write_rival(tmp_path, "weak", audit=0.2, signal=2.0)
    strong = write_rival(tmp_path, "strong", audit=2.0, signal=2.0, data="f", noise=1)
    (table,) = tables_of([load_run(weak), load_run(strong)], across_inputs=True)
    found = compare_runs(table)
    alone = compare_runs([load_run(strong)])
    assert found.bar is not None
    assert found.bar.auc.mean == pytest.approx(alone.bar.auc.mean)


def test_epochs_that_differ_stand_beside_the_inputs(one, both):
    for path, epochs in ((one, 6), (both, 12)):
        stored = RunFolder(path).path / "experiment.json"
        values = json.loads(stored.read_text())
        values["recipe"] = {"training": {"epochs": epochs}}
        stored.write_text(json.dumps(values))
    _, out, _ = said(one, both)
    header = out.split("folds group")[0]
    assert "data" in header
    assert "epochs" in header
