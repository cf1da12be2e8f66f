"""What a comparison says it could have shown: never a difference that two areas cannot have."""

import re

import pytest

from volbench.leaderboard.statistics.comparison import PowerAnalysis
from volbench.leaderboard.text import _power


def note(detectable, detectable_holm, pairs=3):
    return _power(PowerAnalysis(10, 0.2, 0.1, 0.2, detectable, detectable_holm), pairs)


def test_a_difference_that_areas_can_have_is_named():
    assert "so a true difference of 0.400 AUC (0.300 if there were one pair only) is found" in note(
        0.3, 0.4
    )
    assert "only)" not in note(0.3, 0.3, pairs=1)


def test_where_only_the_adjusted_difference_is_impossible_the_single_one_is_named():
    said = note(0.9, 6.502)
    assert "cannot show any difference" in said
    assert "a true difference of 0.900 AUC if there were one pair only" in said


def test_where_no_difference_can_be_shown_that_is_said():
    assert note(1.2, 6.502).endswith(
        "these folds cannot show any difference; use more cases or more folds."
    )


@pytest.mark.parametrize("detectable", [0.01, 0.5, 0.999, 1.0, 6.502])
@pytest.mark.parametrize("factor", [1.0, 1.5, 10.0])
def test_no_note_names_an_area_beyond_one(detectable, factor):
    said = note(detectable, detectable * factor)
    named = re.findall(r"difference of (\d+\.\d+)|\((\d+\.\d+) if", said)
    assert all(float(value) < 1 for pair in named for value in pair if value)
