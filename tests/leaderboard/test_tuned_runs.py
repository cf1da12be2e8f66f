"""Tuned runs in a comparison: the optimism beside the AUC, and a mark for what was not nested."""

import json
import math

import pytest

from tests.helpers.written_runs import write_rival
from volbench._utils.atomic_io import write_json
from volbench.leaderboard import load_run
from volbench.leaderboard.render.show import show
from volbench.leaderboard.statistics.compare import compare_runs
from volbench.leaderboard.statistics.repeats import put_together


@pytest.fixture
def runs(tmp_path):
    plain = write_rival(tmp_path, "plain", noise=1)
    nested = write_rival(tmp_path, "nested", noise=2, loss="focal(gamma=?)")
    flat = write_rival(tmp_path, "flat", noise=3, loss="focal(gamma=??)")
    for path, gap, selected in ((nested, 0.125, False), (flat, -0.0625, True)):
        tuning = {"schema": 1, "optimism": gap, "selected_on_these_data": selected}
        write_json(path / "tuning.json", tuning)
    return [load_run(path) for path in (plain, nested, flat)]


def shown(runs, style):
    return show([compare_runs(runs, resamples=20)], style)


def test_the_optimism_stands_beside_the_runs_that_were_tuned(runs):
    rows = {row.name: row for row in compare_runs(runs, resamples=20).rows}
    assert rows["nested"].optimism == 0.125
    assert rows["flat"].optimism == -0.0625
    assert math.isnan(rows["plain"].optimism)
    found = {row["run"]: row for row in json.loads(shown(runs, "json"))["tables"][0]["rows"]}
    assert [found[name]["optimism"] for name in ("plain", "nested", "flat")] == [
        None,
        0.125,
        -0.0625,
    ]


def test_what_was_selected_on_the_cases_that_judge_it_is_marked_and_said(runs):
    lines = shown(runs, "md").splitlines()
    marked = [line for line in lines if "‡" in line]
    assert len(marked) == 2
    assert "focal(gamma=??)" in marked[0]
    assert "-0.062" in marked[0] or "-0.063" in marked[0]
    assert marked[1].startswith("‡ selected on these data")


def test_without_a_tuned_run_nothing_speaks_of_tuning(runs):
    text = shown(runs[:1], "md")
    assert "optimism" not in text
    assert "‡" not in text


def test_other_searches_are_no_repeats_of_one_another(tmp_path):
    paths = [write_rival(tmp_path, f"t{n}", seed=n) for n in (0, 1)]
    for path, trials in zip(paths, (10, 20), strict=True):
        experiment = json.loads((path / "experiment.json").read_text())
        write_json(path / "experiment.json", {**experiment, "tuning": {"trials": trials}})
    assert len(put_together(map(load_run, paths))) == 2
