"""Racing a suite: what is shown worse after some folds stops, and says so everywhere."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tests.helpers.small import write_small
from volbench.cli.main import main
from volbench.evaluation.statistics.sequential import boundaries
from volbench.leaderboard import compare_runs, find_runs, load_run
from volbench.leaderboard.statistics.race import FIRST, bounds, shown_worse
from volbench.report import make_report
from volbench.runs.folder import RACE
from volbench.suite import load_suite, run_suite

SUITE = """
title = "Race"
data = "data"
folds = 6
recipe = "standard"
set = ["training.epochs=3", "training.augmentation=none"]

[[table]]
title = "Losses"
encoder = "r2d(width=4)"
aggregator = "max"
rows = [
    { loss = "cross_entropy" },
    { loss = "focal", set = ["optimizer.lr=1e-9"] },
]
"""


def race(folder, out, *arguments):
    done = CliRunner().invoke(
        main,
        ["suite", "run", str(folder / "race.toml"), "--race", "--out", str(out), "--jobs", "1",
         "--device", "cpu", "--precision", "float32", *arguments],
    )  # fmt: skip
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture(scope="module")
def raced(tmp_path_factory):
    folder = tmp_path_factory.mktemp("race")
    write_small(folder / "data", cases=96, signal=3.0)
    (folder / "race.toml").write_text(SUITE)
    code, said, heard = race(folder, folder / "out")
    assert code == 0, heard
    return folder, said, heard


def loaded(folder, out="out"):
    return {run.experiment["loss"]: run for run in map(load_run, find_runs([folder / out]))}


def test_a_candidate_that_is_shown_worse_is_trained_no_further(raced):
    folder, said, heard = raced
    runs = loaded(folder)
    assert len(runs["cross_entropy"].predictions) == 6
    assert FIRST <= len(runs["focal"].predictions) < 6
    assert "shown worse than r2d-max-cross_entropy" in said
    assert "round 1 of 6: 2 candidates" in heard


def test_its_row_says_so_in_every_table(raced):
    folder, _, _ = raced
    runs = loaded(folder)
    comparison = compare_runs(list(runs.values()), resamples=50)
    (stopped,) = [row for row in comparison.rows if row.loss == "focal"]
    assert stopped.status == "stopped"
    assert stopped.letters == ""
    assert stopped.stop.folds == len(runs["focal"].predictions)
    done = CliRunner().invoke(main, ["compare", str(folder / "out")])
    assert "stopped" in done.stdout
    assert "Stopped: r2d-max-focal" in done.stdout
    as_json = CliRunner().invoke(main, ["compare", str(folder / "out"), "--format", "json"])
    assert '"stopped": "stopped after' in as_json.stdout
    assert "is not ranked among the others" in make_report(runs.values())
    shown = CliRunner().invoke(
        main, ["suite", "show", str(folder / "race.toml"), "--out", str(folder / "out")]
    )
    assert "1 finished, 1 stopped" in shown.stdout


def test_a_race_that_goes_on_decides_what_it_would_have_decided(raced):
    folder, _, _ = raced
    before = loaded(folder)["focal"]
    shutil.copytree(folder / "out", folder / "again")
    for path in find_runs([folder / "again"]):  # as after a kill in round 3
        for fold in (path / "folds").iterdir():
            if int(fold.name) >= 2:
                shutil.rmtree(fold)
    code, _, heard = race(folder, folder / "again")
    assert code == 0, heard
    after = loaded(folder, "again")["focal"]
    assert after.race == before.race
    assert after.predictions == before.predictions
    assert race(folder, folder / "again")[0] == 0
    assert loaded(folder, "again")["focal"].race == before.race


def test_run_without_racing_what_was_stopped_is_complete_and_compared(raced):
    folder, _, _ = raced
    shutil.copytree(folder / "out", folder / "whole")
    suite = load_suite(folder / "race.toml")
    results = run_suite(suite, out=folder / "whole", device="cpu", jobs=1)
    assert all(result.error is None for result in results)
    comparison = compare_runs(list(loaded(folder, "whole").values()), resamples=50)
    assert [row.status for row in comparison.rows] == ["complete", "complete"]
    assert all(row.stop is None for row in comparison.rows)


def test_a_torn_note_of_a_race_stops_nobody_from_reading_the_run(raced):
    folder, _, _ = raced
    shutil.copytree(folder / "out", folder / "torn")
    path = loaded(folder, "torn")["focal"].path
    (path / RACE).write_text(json.dumps({"schema": 1}) + " ")
    assert load_run(path).race is None


def test_boundaries_are_those_that_lan_and_demets_published():
    times = [0.2, 0.4, 0.6, 0.8, 1.0]
    fleming = boundaries(times, spending="obrien_fleming")
    assert fleming == pytest.approx([4.8769, 3.3569, 2.6803, 2.2898, 2.0310], abs=2e-4)
    pocock = boundaries(times, spending="pocock")
    assert pocock == pytest.approx([2.4380, 2.4268, 2.4101, 2.3966, 2.3859], abs=2e-4)


def test_random_walks_cross_the_boundaries_as_often_as_the_level_says():
    times = np.arange(3, 11) / 10
    random = np.random.default_rng(0)
    steps = random.normal(size=(40_000, 10)) / np.sqrt(10)
    z = steps.cumsum(axis=1)[:, 2:] / np.sqrt(times)
    crossed = (np.abs(z) >= boundaries(times.tolist())).any(axis=1).mean()
    assert crossed == pytest.approx(0.05, abs=0.004)


def test_more_candidates_need_more_evidence_and_two_folds_are_none():
    assert bounds(10, 2)[: FIRST - 1] == (np.inf,) * (FIRST - 1)
    assert bounds(10, 6)[4] > bounds(10, 2)[4] > 1.96


def test_equals_are_not_stopped_and_a_clearly_worse_one_is():
    random = np.random.default_rng(1)
    labels = np.tile([0, 1], 150)
    folds = np.repeat(np.arange(6), 50)
    noise = random.normal(size=(3, 300))
    scores = noise + np.array([2.0, 2.0, 0.2])[:, None] * labels
    found = shown_worse(
        ["one", "other", "worse"], labels, scores,
        patients=np.arange(300), folds=folds, folds_total=10,
    )  # fmt: skip
    assert set(found) == {"worse"}
    assert found["worse"].z < -found["worse"].boundary
    assert found["worse"].folds == 6


def test_a_simulated_race_saves_folds_where_one_is_better_and_none_where_all_are_equal():
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "statistics"))
    import race as simulation

    base = replace(simulation.BASE, patients=200, signal=0.2)
    divided = simulation.cohorts(base, 0)[0][0]
    apart = simulation.Race((0.8, 0.0, 0.0), base)
    ended = simulation.one_race(apart, divided, np.random.default_rng(0))
    assert ended.folds < 0.7 * ended.everything
    assert not ended.false_race
    equal = simulation.one_race(
        simulation.Race((0.0,) * 3, base), divided, np.random.default_rng(0)
    )
    assert equal.folds == equal.everything
