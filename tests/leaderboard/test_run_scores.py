"""Scores of runs before they are compared: what is paired with what, seeds put together."""

from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.written_runs import write_run
from volbench.errors import StateError
from volbench.leaderboard.statistics.run_scores import (
    case_areas,
    case_items,
    check_same_items,
    item_names,
    score_run,
)


@pytest.fixture
def per_slice(tmp_path):
    """Two seeds on the same folds, whose rows are slices."""
    return [
        score_run(
            write_run(tmp_path / f"seed{seed}", aggregator=None, seed=seed),
            unit="slice",
            threshold=0.5,
        )
        for seed in (0, 1)
    ]


def test_areas_of_cases_are_the_mean_over_seeds_on_the_same_folds(per_slice):
    each = [scored.other_units["case"] for scored in per_slice]
    assert not np.allclose(*each)
    np.testing.assert_allclose(case_areas(per_slice), [np.mean(each, axis=0)])


def test_cases_are_paired_by_their_names_whatever_the_order_of_the_files(per_slice):
    first = per_slice[0]
    predictions = dict(reversed(first.run.predictions.items()))
    turned = replace(first, run=replace(first.run, predictions=predictions))
    for scored in (first, turned):
        names = item_names(case_items(scored, "case"))
        assert names == sorted(names)


def test_runs_that_name_other_classes_are_not_paired(per_slice):
    first, second = per_slice
    check_same_items(per_slice)
    renamed = replace(second, items=replace(second.items, classes=("T2", "T4")))
    with pytest.raises(StateError, match="seed0 and seed1 name other classes"):
        check_same_items([first, renamed])
