"""Leaving out a site at a time: intervals over sites."""

import numpy as np
import pytest
from scipy import stats

from tests.helpers.written_runs import cohort, write_rival
from volbench.leaderboard import compare_runs, load_run
from volbench.leaderboard.statistics.sites import over_sites, site_column
from volbench.leaderboard.text import headline_notes


def left_out(tmp_path, name="run", folds=4, **more):
    """A run whose folds are the sites w, x, y, z."""
    _, fold_of, _ = cohort(60, folds, 2, "e", None)
    return load_run(
        write_rival(tmp_path, name, folds=folds, site=lambda i: "wxyz"[fold_of[i]], **more)
    )


def test_the_interval_of_the_mean_over_sites_is_that_of_scipy():
    areas = np.array([0.8, 0.9, 0.85, 0.75, np.nan])
    found = over_sites(areas)
    expected = stats.ttest_1samp(areas[:4], 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(tuple(expected))
    assert found.low_new < found.low < found.high < found.high_new <= 1
    assert over_sites(np.array([0.8, 0.9])) is None


def test_one_more_site_is_inside_the_interval_as_often_as_it_says():
    random = np.random.default_rng(0)
    areas = np.clip(0.7 + 0.05 * random.normal(size=(4000, 6)), 0, 1)
    inside = 0
    for each in areas:
        found = over_sites(each[:5])
        inside += found.low_new <= each[5] <= found.high_new
    assert inside / len(areas) == pytest.approx(0.95, abs=0.012)


def test_folds_that_are_sites_are_known_by_the_column(tmp_path):
    assert site_column(left_out(tmp_path)) == ("site", dict(enumerate("wxyz")))
    mixed = load_run(write_rival(tmp_path, "mixed"))
    assert site_column(mixed) is None
    assert not any(
        "Folds are" in note for note in headline_notes(compare_runs([mixed]), stacked=True)
    )


def test_the_table_says_what_one_more_site_may_bring(tmp_path):
    found = compare_runs([left_out(tmp_path), left_out(tmp_path, "other", noise=1)])
    (note,) = (note for note in headline_notes(found, stacked=True) if "Folds are" in note)
    assert note.startswith("Folds are values of site (w, x, y, z), each left out once.")
    assert "run 0." in note
    assert "other 0." in note
    two = compare_runs([left_out(tmp_path, "two", folds=2)])
    assert any("too few" in note for note in headline_notes(two, stacked=True))
