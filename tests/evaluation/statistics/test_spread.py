import numpy as np
import pytest

from volbench.evaluation.statistics.spread import spread
from volbench.leaderboard.statistics.run_scores import estimate
from volbench.predict.results import Spread


def test_equal_scores_have_no_spread_wherever_it_is_told():
    same = np.array([0.1 + 0.2, 0.3, 0.3, 0.3])
    assert same.std(ddof=1) > 0, "rounding"
    assert spread(same) == 0.0
    assert estimate([same], ddof=1).std == 0.0
    assert Spread.of(np.stack([1 - same, same], axis=1)).std.tolist() == [0.0, 0.0]


def test_other_spreads_are_those_of_numpy():
    values = np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_array_equal(spread(values, ddof=0), values.std(axis=0))
    assert float(spread(values[:, 0])) == pytest.approx(values[:, 0].std(ddof=1))
    assert np.isnan(spread(values[:1])).all()
