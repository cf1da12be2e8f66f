"""Suites with repeats, seeds, shares of patients or permuted labels."""

import json

import pytest
from click.testing import CliRunner

from tests.suite.suites import write_suite
from volbench.cli.main import main
from volbench.leaderboard import load_run

ONE = """
[[table]]
title = "One"
encoder = "r2d(width=2)"
aggregator = "max"
loss = "focal"
"""


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    return write_suite(tmp_path_factory.mktemp("suite"), ONE)


def suite_run(suite, *options):
    done = CliRunner().invoke(main, ["suite", "run", str(suite), *map(str, options)])
    return done.exit_code, done.output


def runs_in(out):
    return [load_run(path.parent) for path in sorted(out.glob("*/experiment.json"))]


def test_seeds_are_tasks_of_one_executor_and_the_tables_show_the_first_one(suite, tmp_path):
    code, said = suite_run(
        suite, "--out", tmp_path, "--seed", 4, "--seeds", 2, "--on", "local(jobs=1)"
    )
    assert code == 0, said
    loaded = runs_in(tmp_path)
    assert sorted(run.experiment["seed"] for run in loaded) == [4, 5]
    assert len({run.experiment["split_digest"] for run in loaded}) == 1
    assert all(len(run.predictions) == 2 for run in loaded)
    assert f"compare with: volbench compare {tmp_path} --repeats" in said
    (entry,) = json.loads((tmp_path / "suite.json").read_text())["experiments"]
    assert load_run(tmp_path / entry["run"]).experiment["seed"] == 4


def test_permuted_labels_go_into_a_folder_of_their_own(suite, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, said = suite_run(suite, "--permute-labels", "--train-share", "0.5", "--jobs", "1")
    assert code == 0, said
    (run,) = runs_in(tmp_path / "runs" / "permuted-suite")
    assert run.experiment["permuted"]
    assert run.experiment["train_share"] == 0.5
    assert "suite show" not in said  # which would have no table to show


def test_a_race_is_of_one_division_into_folds(suite, tmp_path):
    code, said = suite_run(suite, "--out", tmp_path, "--repeats", 2, "--race", "--jobs", "1")
    assert code == 2
    assert "--race compares candidates on one division into folds" in said
