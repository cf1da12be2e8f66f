"""What a comparison says it could have shown: never a difference that two areas cannot have."""

import math
import re
from dataclasses import replace

import pytest

from tests.helpers.written_runs import write_run
from volbench.leaderboard import compare_runs
from volbench.leaderboard.statistics.comparison import PowerAnalysis
from volbench.leaderboard.statistics.next_design import next_designs, spread_to_expect
from volbench.leaderboard.text import _power


def note(detectable, detectable_holm, pairs=3):
    return _power(PowerAnalysis(10, 0.2, 0.1, 0.2, detectable, detectable_holm), pairs)


def test_a_difference_that_areas_can_have_is_named():
    assert "so a true difference of 0.400 AUC (0.300 if there were one pair only) is found" in note(
        0.3, 0.4
    )
    assert "only)" not in note(0.3, 0.3, pairs=1)


def test_where_only_the_adjusted_difference_is_impossible_the_single_one_is_named():
    said = note(0.4, 6.502)
    assert "cannot show any difference" in said
    assert "a true difference of 0.400 AUC if there were one pair only" in said


def test_where_no_difference_can_be_shown_that_is_said():
    assert note(1.2, 6.502).endswith(
        "these folds cannot show any difference with a chance of 80 %, not even that between "
        "chance and a perfect AUC, 0.5; use more cases or more folds."
    )


@pytest.mark.parametrize("detectable", [0.01, 0.49, 0.5, 0.752, 0.999, 1.0, 6.502])
@pytest.mark.parametrize("factor", [1.0, 1.5, 10.0])
def test_no_note_names_a_difference_beyond_that_of_chance_and_perfection(detectable, factor):
    said = note(detectable, detectable * factor)
    named = re.findall(r"difference of (\d+\.\d+)|\((\d+\.\d+) if", said)
    assert all(float(value) < 0.5 for pair in named for value in pair if value)


def test_folds_that_agree_by_luck_promise_no_small_differences(tmp_path):
    """A few folds whose differences happen to be alike say little about the spread of more."""
    runs = [
        write_run(tmp_path / name, seed=seed, loss=name)
        for seed, name in enumerate(("focal", "cross_entropy"))
    ]
    found = compare_runs(runs, resamples=100)
    lucky = replace(found, design=replace(found.design, std=1e-4))
    by_patients = lucky.design.standard_error * math.sqrt(lucky.design.folds / 1.5)
    assert spread_to_expect(lucky) == pytest.approx(by_patients)
    assert next_designs(lucky) == []  # three folds more often show no more by the corrected t-test
    spread = replace(found, design=replace(found.design, std=10.0))
    assert spread_to_expect(spread) == 10.0
