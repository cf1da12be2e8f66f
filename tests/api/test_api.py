"""The Python API: frames against the files of runs, and an import that costs nothing."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

import volbench
from tests.helpers.small import write_small
from tests.helpers.written_runs import CASES, FOLDS, write_run
from volbench.errors import StateError, UsageError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two complete runs on the same folds, one that failed, one per slice on other data."""
    folder = tmp_path_factory.mktemp("api")
    write_run(folder / "one", audit=True)
    write_run(folder / "two", encoder="r2d", seed=5, audit=True)
    write_run(folder / "failed", encoder="r3d", finished=(0,), failed=(1,))
    write_run(folder / "slices", aggregator=None, digest="e" * 64)
    return folder


@pytest.fixture(scope="module")
def runs(folder):
    return volbench.load_runs(folder)


def read(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def areas(run):
    found = []
    for path in sorted(run.glob("folds/*/predictions.csv")):
        rows = read(path)
        truth = [row["label"] == "T3" for row in rows]
        found.append(roc_auc_score(truth, [float(row["prob_T3"]) for row in rows]))
    return np.array(found)


def test_a_process_that_trains_a_fold_imports_nothing_for_tables_and_statistics():
    code = """if True:
        import sys, volbench.crossval.fold_task, volbench.crossval.dry_run
        print(*{"sklearn", "scipy", "pandas", "timm", "rich", "optuna"} & set(sys.modules))
    """
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


def test_importing_volbench_imports_itself_and_the_standard_library_only():
    code = (
        "import sys; there = set(sys.modules); import volbench; print(*(set(sys.modules) - there))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    new = {name.partition(".")[0] for name in done.stdout.split()} - {"volbench"}
    assert new <= set(sys.stdlib_module_names)
    assert "volbench.api" not in done.stdout.split()


def test_what_is_promised_is_there_and_nothing_else():
    assert {"run", "compare", "load_runs", "load_prepared", "Dataset"} <= set(volbench.__all__)
    assert set(volbench.__all__) <= set(dir(volbench))
    assert all(getattr(volbench, name) for name in volbench.__all__)
    with pytest.raises(AttributeError, match="module 'volbench' has no attribute 'load_run'"):
        volbench.load_run  # noqa: B018


def test_predictions_are_the_rows_of_the_files(folder, runs):
    wanted = [
        (
            path.parts[-4],
            int(row["fold"]),
            row["case"],
            row["patient"],
            row["label"],
            int(row["slice"]) if "slice" in row else -1,
            float(row["prob_T2"]),
            float(row["prob_T3"]),
        )
        for path in folder.glob("*/folds/*/predictions.csv")
        for row in read(path)
    ]
    frame = runs.predictions
    assert list(frame.columns) == [
        *("run", "fold", "case", "patient", "label", "slice", "prob_T2", "prob_T3"),
    ]
    found = frame.fillna({"slice": -1}).itertuples(index=False, name=None)
    assert sorted(found) == sorted(wanted)
    assert len(frame) == CASES * 2 + CASES // FOLDS + 2 * CASES


def test_validation_has_the_rows_of_its_files(folder, runs):
    mine = runs.validation[runs.validation["run"] == "one"]
    wanted = [row for path in folder.glob("one/folds/*/validation.csv") for row in read(path)]
    assert sorted(mine["prob_T3"]) == sorted(float(row["prob_T3"]) for row in wanted)


def test_cases_are_the_rows_of_cases_csv(folder, runs):
    mine = runs.cases[runs.cases["run"] == "two"].reset_index(drop=True)
    wanted = read(folder / "two" / "cases.csv")
    assert set(wanted[0]) == set(mine.columns) - {"run"}
    for name in ("case", "patient", "label", "fold", "stratum_site"):
        assert list(mine[name]) == [row[name] for row in wanted]
    for name in ("slices", "slice_mm", "column_mm"):
        assert list(mine[name]) == [float(row[name]) for row in wanted]
    assert mine["roi_mm3"].isna().all()


def test_history_has_a_row_per_epoch(folder, runs):
    wanted = sum(len(read(path)) for path in folder.glob("*/folds/*/history.csv"))
    frame = runs.history
    assert len(frame) == wanted
    assert list(frame.columns[:3]) == ["run", "fold", "epoch"]
    one = frame[(frame["run"] == "one") & (frame["fold"] == 2)]
    rows = read(folder / "one" / "folds" / "02" / "history.csv")
    assert list(one["train_loss"]) == [float(row["train_loss"]) for row in rows]


def test_folds_have_their_scores_or_the_reason_why_not(folder, runs):
    frame = runs.folds.set_index(["run", "fold"])
    assert len(frame) == 4 * FOLDS
    for name in ("one", "two"):
        assert list(frame.loc[name]["auc"]) == pytest.approx(list(areas(folder / name)))
    failed = frame.loc["failed"]
    assert list(failed["status"]) == ["finished", "failed", "missing"]
    assert failed.loc[1, "error"] == "out of memory | really <now>"
    assert failed["auc"].isna().tolist() == [False, True, True]
    assert list(frame.loc["one"]["selected_epoch"]) == [2, 3, 4]
    assert set(frame.loc["slices"]["unit"]) == {"slice"}


def test_the_summary_has_means_intervals_and_letters(folder, runs):
    frame = runs.summary.set_index("run")
    assert set(frame.index) == {"one", "two", "failed", "slices"}
    for name in ("one", "two"):
        found = areas(folder / name)
        row = frame.loc[name]
        assert row["auc_mean"] == pytest.approx(found.mean())
        assert row["auc_std"] == pytest.approx(found.std(ddof=1))
        assert row["auc_low"] < found.mean() <= row["auc_high"]
        assert row["letters"] == "a"
        assert row["status"] == "complete"
        assert not row["beats_audit"]
        assert row["seconds"] == pytest.approx(np.mean([10, 11, 12]))
        assert row["path"] == str(folder / name)
    assert (frame.loc["failed", "status"], frame.loc["failed", "failed"]) == ("failed", 1)
    assert np.isnan(frame.loc["failed", "auc_low"])
    assert frame.loc["slices", "table"] != frame.loc["one", "table"], "other data, another table"
    assert frame.loc["one", "table"] == frame.loc["failed", "table"]


def test_pairs_are_tested_within_a_table_by_the_corrected_test(folder):
    runs = volbench.load_runs(folder, test="corrected_t")
    (pair,) = runs.pairs.to_dict("records")
    assert {pair["first"], pair["second"]} == {"one", "two"}
    differences = areas(folder / pair["first"]) - areas(folder / pair["second"])
    error = np.sqrt((1 / 3 + 1 / 2) * differences.var(ddof=1))  # Nadeau and Bengio 2003
    p = 2 * stats.t.sf(abs(differences.mean()) / error, 2)
    assert pair["difference"] == pytest.approx(differences.mean())
    assert pair["p"] == pair["p_holm"] == pytest.approx(p)
    width = stats.t.ppf(0.975, 2) * error
    assert pair["low"] == pytest.approx(differences.mean() - width)
    below, above = (stats.t.cdf((x - differences.mean()) / error, 2) for x in (-0.01, 0.01))
    assert pair["p_same"] == pytest.approx(above - below)
    assert pair["p_worse"] + pair["p_same"] + pair["p_better"] == pytest.approx(1)
    assert pair["verdict"] == "no difference shown"
    assert pair["decided_by"] == "corrected_t"
    assert volbench.load_runs(folder).pairs["decided_by"].item() == "combined"


def test_seeds_are_put_together_where_asked(tmp_path):
    for seed in (0, 1):
        write_run(tmp_path / f"seed{seed}", seed=seed)
    assert len(volbench.load_runs(tmp_path).summary) == 2
    (row,) = volbench.load_runs(tmp_path, repeats=True).summary.to_dict("records")
    assert (row["seed"], row["folds"]) == ("0, 1", 2 * FOLDS)


def test_unit_and_threshold_change_what_is_scored(folder):
    slices = folder / "slices"
    per_slice, per_case = (volbench.load_runs(slices, unit=unit) for unit in ("slice", "case"))
    assert per_slice.summary["n"].item() == 2 * per_case.summary["n"].item() == 2 * CASES
    strict = volbench.load_runs(folder / "one", threshold=0.9).summary
    loose = volbench.load_runs(folder / "one", threshold=0.1).summary
    assert strict["recall_T3_mean"].item() < loose["recall_T3_mean"].item()
    assert strict["auc_mean"].item() == loose["auc_mean"].item()


def test_runs_may_be_given_as_a_list(folder):
    names = sorted(path.parent for path in folder.glob("*/experiment.json"))
    for paths in ([names], [[str(name) for name in names]], [names[:1], *names[1:]]):
        assert repr(volbench.load_runs(*paths)) == repr(volbench.load_runs(*names))


def test_what_is_no_path_unit_or_test_is_refused_before_it_changes_a_number(folder):
    """Out of reach of the types that tests check while they run."""
    code = (
        "import sys, volbench; folder = sys.argv[1]\n"
        "for paths, options in ([3], {}), ([None], {}), ([folder], {'unit': 'volume'}), "
        "([folder], {'test': 'corrected-t'}):\n"
        "    for function in (volbench.load_runs, volbench.compare):\n"
        "        try: function(*paths, **options)\n"
        "        except volbench.VolbenchError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, folder], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        *2 * ["3 is no path; give run folders or folders of runs"],
        *2 * ["None is no path; give run folders or folders of runs"],
        *2 * ["unit 'volume' is not known; known: slice, case, patient"],
        *2 * ["test 'corrected-t' is not known; did you mean 'corrected_t'?"],
    ]


def test_completion_shows_what_is_promised_and_no_tools(folder):
    shown = [name for name in dir(volbench) if not name.startswith("__")]
    assert {"run", "compare", "list", "plot", "load_runs"} <= set(shown)
    assert not {"lazy_attributes", "start_logging", "keep_old_paths", "ModuleType"} & set(shown)
    assert not [name for name in shown if name.startswith("_")]


def test_one_run_alone_has_no_pairs_but_their_columns(folder):
    frame = volbench.load_runs(str(folder / "one")).pairs
    assert len(frame) == 0
    assert {"first", "second", "p_holm", "p_same", "verdict"} <= set(frame.columns)


def test_a_run_before_its_first_fold_is_there_without_scores(tmp_path):
    write_run(tmp_path / "new", finished=())
    runs = volbench.load_runs(tmp_path)
    assert list(runs.folds["status"]) == ["missing"] * FOLDS
    assert runs.summary["status"].item() == "incomplete"
    assert len(runs.predictions) == len(runs.history) == 0
    assert "case" in runs.predictions


def test_a_history_that_was_changed_is_refused(tmp_path):
    write_run(tmp_path / "mine")
    path = tmp_path / "mine" / "folds" / "01" / "history.csv"
    path.write_text(path.read_text().replace("0.5", "0.1"))
    runs = volbench.load_runs(tmp_path)
    with pytest.raises(StateError, match=r"history\.csv is missing or was changed"):
        runs.history  # noqa: B018


def test_without_a_path_the_folder_runs_is_read(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="runs does not exist"):
        volbench.load_runs()
    (tmp_path / "runs").symlink_to(folder)
    assert len(volbench.load_runs().loaded) == 4


def test_a_call_trains_what_the_command_would(tmp_path):
    data = write_small(tmp_path / "data", cases=12).folder
    options = {
        "encoder": "r2d(width=2)",
        "aggregator": "average",
        "loss": "focal",
        "data": data,
        "folds": 2,
        "overrides": ["training.epochs=1"],
        "jobs": 1,
    }
    done = volbench.run(**options, out=tmp_path / "runs", name="mine")
    assert (done.path, done.failed) == (tmp_path / "runs" / "mine", [])
    experiment = json.loads((done.path / "experiment.json").read_text())
    assert experiment["encoder"] == "r2d(width=2)"
    assert experiment["recipe"]["training"]["epochs"] == 1
    assert volbench.load_runs(done.path).summary["folds"].item() == 2
