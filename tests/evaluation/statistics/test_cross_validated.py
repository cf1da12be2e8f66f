"""The cross-validated z-test: its two standard errors, one pair at a time and all at once."""

import math
from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from volbench.errors import DataError
from volbench.evaluation.statistics import corrected_t_test, cross_validated_test, delong
from volbench.evaluation.statistics.cross_validated import paired_folds
from volbench.evaluation.statistics.delong import area_test


def areas_of(models=4, folds=10, without=None):
    random = np.random.default_rng(0)
    labels, place = np.tile([0, 1, 1], 50), np.arange(150) % folds
    if without is not None:
        labels = np.where(place == without, 1, labels)
    scores = labels + 1.5 * random.normal(size=(models, 150))
    return delong(labels, scores, folds=place, undefined="omit")


@pytest.mark.parametrize("without", [None, 3])
def test_all_pairs_at_once_are_each_pair_to_the_bit(without):
    areas = areas_of(without=without)
    table = paired_folds(areas)
    for one, other in permutations(range(4), 2):
        pair = areas.pair(one, other)
        folds = corrected_t_test(pair.by_fold[0] - pair.by_fold[1], undefined="omit")
        assert table.difference[one, other] == folds.mean
        assert table.of_cases[one, other] == area_test(pair).standard_error
        assert table.of_folds[one, other] == folds.std / math.sqrt(folds.folds)
    assert not table.error.diagonal().any()


def test_the_statistic_is_the_one_that_the_docs_state():
    areas = areas_of()
    test = cross_validated_test(areas.pair(1, 2))
    differences = areas.by_fold[1] - areas.by_fold[2]
    covariance = areas.covariance
    of_cases = covariance[1, 1] + covariance[2, 2] - 2 * covariance[1, 2]
    variance = 1.5 * max(of_cases, differences.var(ddof=1) / 10)
    assert test.z == pytest.approx(differences.mean() / math.sqrt(variance))
    assert test.p == pytest.approx(2 * stats.norm.sf(abs(test.z)))
    assert test.high - test.low == pytest.approx(2 * 1.959964 * math.sqrt(variance))


def test_equal_scores_differ_by_nothing_and_one_fold_is_refused():
    labels = np.tile([0, 1], 30)
    scores = np.random.default_rng(1).normal(size=60) + labels
    folds = np.arange(60) // 2 % 5
    same = cross_validated_test(delong(labels, np.stack([scores, scores]), folds=folds))
    assert (same.difference, same.z, same.p) == (0.0, 0.0, 1.0)
    with pytest.raises(DataError, match="1 fold with a score"):
        cross_validated_test(delong(labels, np.stack([scores, -scores]), folds=folds * 0))
