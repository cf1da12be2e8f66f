"""Runs on random splits: a case is held out several times or never."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tests.helpers.small import write_small
from volbench.cli.main import main
from volbench.evaluation import gather
from volbench.evaluation.statistics import corrected_t_test, delong
from volbench.interfaces import Case, Files
from volbench.leaderboard import compare_runs, load_run
from volbench.model_card.answers.partitions import assignment, disjoint
from volbench.model_card.run_facts import gather_facts
from volbench.predict.seen_in_training import seen_in_training
from volbench.predict.training_range import training_rows
from volbench.runs.splits_file import read_splits

SPLITS = "random(splits=4, test=0.25)"


def named(name):
    return Case(name=name, patient="", label="", source=Files((Path("volume.nii"),)))


def invoke(*arguments):
    return CliRunner().invoke(main, [*map(str, arguments)], catch_exceptions=False)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("random")
    data = write_small(folder / "data", cases=24).folder
    for name, loss in (("a", "focal"), ("b", "cross_entropy")):
        done = invoke(
            *("run", "--encoder", "r2d(width=2)", "--agg", "max", "--loss", loss, "--data", data),
            *("--set", "training.epochs=1", "--folds", SPLITS, "--jobs", 1, "--device", "cpu"),
            *("--name", name, "--out", folder / "runs"),
        )
        assert done.exit_code == 0, done.output
    return folder / "runs"


def test_every_split_is_kept_and_the_folder_says_which_cases_it_holds_out(runs):
    loaded = load_run(runs / "a")
    assert loaded.repeated
    assert sorted(loaded.predictions) == [0, 1, 2, 3]
    rows = read_splits(runs / "a" / "splits.csv")
    assert any(len(row.folds) > 1 for row in rows)
    assert any(row.fold == "train" for row in rows)
    for fold, predicted in loaded.predictions.items():
        assert {row.case for row in predicted} == {row.case for row in rows if fold in row.folds}
    assert [row.folds for row in loaded.case_rows] == [row.folds for row in rows]


def test_the_verdict_is_the_corrected_t_test_with_the_ratio_of_the_splits(runs):
    loaded = [load_run(runs / name) for name in "ab"]
    found = compare_runs(loaded, resamples=200)
    (pair,) = found.pairs
    items = [
        gather([row for rows in run.predictions.values() for row in rows], run.classes)
        for run in loaded
    ]
    assert items[0].repeated
    areas = delong(
        items[0].labels,
        np.stack([each.probabilities[:, 1] for each in items]),
        clusters=np.array(items[0].patients),
        folds=items[0].folds,
        repeated=True,
    )
    test = corrected_t_test(areas.by_fold[0] - areas.by_fold[1], test_to_train=6 / 18)
    assert pair.test == "corrected_t"
    assert pair.p == pytest.approx(test.p)
    assert found.rows[0].score("auc").low < found.rows[0].score("auc").mean
    assert all(row.bar is not None and row.bar.test == "corrected_t" for row in found.rows)


def test_a_run_on_random_splits_is_resumed_merged_and_shown(runs, tmp_path):
    shown = invoke("compare", runs)
    assert "4 random splits" in shown.output
    status = invoke("status", runs / "a")
    assert status.exit_code == 0
    merged = invoke("merge", runs / "a", runs / "a", "--out", tmp_path / "merged")
    assert merged.exit_code == 0, merged.output
    assert load_run(tmp_path / "merged").repeated
    report = invoke("report", runs / "a", runs / "b", "--output", tmp_path / "report.html")
    assert report.exit_code == 0, report.output
    assert "may have been held out several times or never" in (tmp_path / "report.html").read_text()
    card = invoke("report", runs / "a", "--card", "--output", tmp_path / "card.md")
    assert card.exit_code == 0, card.output


def test_the_card_says_that_patients_are_held_out_several_times_or_never(runs):
    facts = gather_facts(load_run(runs / "a"), resamples=100)
    said = assignment(facts).known
    assert said.startswith("4 random splits, in which a patient may be held out several times or")
    assert "each has 6 cases, 50 % of them T3" in said
    assert "never held out;" in said
    assert "none of 24 patients is in both sides of a split" in disjoint(facts).known


def test_a_case_is_new_to_the_splits_that_held_it_out_only(runs):
    loaded = load_run(runs / "a")
    rows = read_splits(runs / "a" / "splits.csv")
    several = next(row for row in rows if len(row.folds) > 1)
    never = next(row for row in rows if not row.folds)
    seen = seen_in_training(named(several.case), rows, loaded, (0, 1, 2, 3))
    assert seen.folds == tuple(fold for fold in range(4) if fold not in several.folds)
    mean = np.mean([
        row.probabilities
        for fold in several.folds
        for row in loaded.predictions[fold]
        if row.case == several.case
    ], axis=0)  # fmt: skip
    assert seen.held_out == pytest.approx(mean)
    assert seen_in_training(named(never.case), rows, loaded, (0, 1)).held_out is None
    held = [row.case for row in loaded.case_rows if row.folds == (several.folds[0],)]
    kept = {row.case for row in training_rows(loaded, several.folds[:1])}
    assert not kept & set(held)
