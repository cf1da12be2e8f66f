import csv
import io
import json
import math

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.metrics import roc_auc_score

from tests.helpers.small import write_small
from volbench.cli.main import main
from volbench.crossval import make_plan, run
from volbench.errors import StateError
from volbench.leaderboard import compare_runs, load_run, tables_of
from volbench.leaderboard.published.references import load_reference


def do_run(data, out, name, *, encoder="r2d(width=2)", aggregator="average", folds="3", asked=None):
    plan = make_plan(
        encoder=encoder,
        aggregator=aggregator,
        loss="focal",
        data=str(data),
        folds=folds,
        overrides=("training.epochs=1",),
    )
    return run(plan, out=out, name=name, jobs=1, folds=asked).path


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("leaderboard")
    data = write_small(folder / "data", cases=24).folder
    do_run(data, folder / "runs", "one")
    do_run(data, folder / "runs", "two", encoder="r3d(width=2)")
    return folder / "runs"


@pytest.fixture(scope="module")
def other_data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("other")
    data = write_small(folder / "data", cases=18, digest="e" * 64).folder
    return do_run(data, folder / "runs", "elsewhere")


def compare(*arguments):
    result = CliRunner().invoke(main, ["compare", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_the_mean_is_that_of_the_folds_in_the_files(runs):
    aucs = []
    for path in sorted(runs.glob("one/folds/*/predictions.csv")):
        with path.open() as stream:
            rows = list(csv.DictReader(stream))
        truth = [row["label"] == "T3" for row in rows]
        aucs.append(roc_auc_score(truth, [float(row["prob_T3"]) for row in rows]))
    (row,) = compare_runs([load_run(runs / "one")]).rows
    assert row.score("auc").mean == pytest.approx(np.mean(aucs))
    assert row.score("auc").std == pytest.approx(np.std(aucs, ddof=1))
    assert (row.n, row.folds) == (24, 3)


def test_the_table_fits_a_hundred_columns_and_names_what_it_shows(runs):
    code, out, _ = compare(runs)
    assert code == 0
    assert max(map(len, out.splitlines())) <= 100
    for word in ("3/3", "average", "focal", "recall", "of 24 patients", "ddof 1"):
        assert word in out


def test_an_incomplete_run_says_so(tmp_path):
    data = write_small(tmp_path / "data", cases=24).folder
    do_run(data, tmp_path, "part", aggregator="max", asked=[0, 1])
    _, out, _ = compare(tmp_path / "part")
    assert "2/3" in out
    assert "Incomplete: part has 2 of 3 folds" in " ".join(out.split())


def test_runs_on_other_data_named_together_are_refused(runs, other_data):
    code, out, err = compare(runs / "one", other_data)
    assert (code, out) == (5, "")
    assert "one and elsewhere were run on different data" in err


def test_runs_on_other_folds_named_together_are_refused(runs, tmp_path):
    data = write_small(tmp_path / "data", cases=24).folder
    other = do_run(data, tmp_path / "runs", "fourfold", folds="4")
    code, _, err = compare(runs / "one", other)
    assert code == 5
    assert "different folds" in err


def test_a_folder_of_several_data_sets_gives_a_table_each(runs, other_data):
    code, out, _ = compare(runs, other_data.parent)
    assert code == 0
    assert "24 cases" in out
    assert "18 cases" in out
    assert "cannot be compared with one another" in out


def test_json_has_every_metric_and_is_json(runs):
    _, out, _ = compare(runs, "--format", "json")
    document = json.loads(out)
    assert document["schema"] == 2
    (table,) = document["tables"]
    assert {row["run"] for row in table["rows"]} == {"one", "two"}
    assert {"auc_mean", "auc_std", "brier_mean", "recall_T3_mean"} <= table["rows"][0].keys()


def test_csv_reads_back(runs):
    _, out, _ = compare(runs, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["folds"] for row in rows if row["kind"] == "run"] == ["3", "3"]


def test_markdown_is_a_table(runs, tmp_path):
    code, out, _ = compare(runs, "--format", "md", "--output", tmp_path / "table.md")
    assert (code, out) == (0, "")
    text = (tmp_path / "table.md").read_text()
    tables = [part.splitlines() for part in text.split("\n\n") if part.startswith("|")]
    assert len(tables) == 3, "the runs, what needs no image, and the pair"
    for lines in tables:
        assert {line.count("|") for line in lines} == {lines[0].count("|")}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["/nowhere"], 2, "/nowhere does not exist"),
        (["--sort", "glory", "RUNS"], 2, "--sort 'glory' is not a column; known: auc"),
        (["--reference", "nature2030", "RUNS"], 2, "unknown --reference 'nature2030'"),
    ],
)
def test_wrong_arguments_are_one_line(runs, arguments, code, message):
    given = [str(runs) if argument == "RUNS" else argument for argument in arguments]
    found, out, err = compare(*given)
    assert (found, out) == (code, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_sorting_by_an_error_puts_the_smallest_first(runs):
    loaded = [load_run(runs / "one"), load_run(runs / "two")]
    for given in (loaded, loaded[::-1]):
        first, second = (row.score("brier").mean for row in compare_runs(given, sort="brier").rows)
        assert first < second


def test_a_changed_prediction_is_never_scored(runs, tmp_path):
    data = write_small(tmp_path / "data", cases=24).folder
    path = do_run(data, tmp_path, "forged")
    predictions = path / "folds/00/predictions.csv"
    predictions.write_text(predictions.read_text().replace("T2", "T3"))
    with pytest.raises(StateError, match="was changed after the run wrote it"):
        load_run(path)


def test_tables_are_by_data_and_split(runs, other_data):
    loaded = [load_run(path) for path in (runs / "one", runs / "two", other_data)]
    assert sorted(map(len, tables_of(loaded))) == [1, 2]


def test_a_row_has_the_scores_of_each_fold(runs):
    (row,) = compare_runs([load_run(runs / "one")]).rows
    assert list(row.by_fold.index) == [("one", 0), ("one", 1), ("one", 2)]
    assert not any(math.isnan(value) for value in row.by_fold["accuracy"])


def test_published_rows_stand_apart_and_only_beside_their_own_data():
    published = load_reference("medmnist3d")
    rows = published.rows_for("data/adrenalmnist3d.npz, keep_every=4")
    assert rows["method"][:3] == ["ResNet-18+2.5D", "ResNet-18+3D", "ResNet-18+ACS"]
    assert rows["auc"][:3] == ["0.718", "0.827", "0.839"]
    assert rows["accuracy %"][:3] == ["77.2", "72.1", "75.4"]
    assert published.rows_for("phantom") == {}


def test_compare_prints_the_published_rows_below_ours(tmp_path):
    data = write_small(tmp_path / "data", cases=24, source="medmnist(path='x/adrenalmnist3d.npz')")
    do_run(data.folder, tmp_path / "runs", "ours")
    code, out, _ = compare(tmp_path / "runs", "--reference", "medmnist3d")
    assert code == 0
    ours, theirs = out.split("Reported elsewhere (medmnist3d)")
    assert "x/adrenalmnist3d.npz" in ours
    assert "0.839" in theirs
    assert "Reported, not measured here" in theirs
