import math
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from volbench.errors import DataError, UsageError
from volbench.evaluation.metrics import area_under_curve, brier
from volbench.evaluation.statistics import (
    bootstrap_difference,
    bootstrap_interval,
    delong,
    delong_test,
)
from volbench.evaluation.statistics.patient_bootstrap import (
    clusters_of,
    doubled_half,
    weighted_areas,
)


def binary(positive):
    return np.stack([1 - positive, positive], axis=1)


def study(seed=0, items=120, ties=False):
    random = np.random.default_rng(seed)
    labels = (np.arange(items) % 3 > 0).astype(int)
    scores = stats.norm.cdf(labels + random.normal(size=(2, items)) - 0.5)
    return labels, *(binary(one) for one in (np.round(scores, 1) if ties else scores))


def mean_label(labels, probabilities):
    return float(labels.mean())


def accuracy(labels, probabilities):
    return float(((probabilities[:, 1] >= 0.5) == labels).mean())


def same_area(labels, probabilities):
    """The default metric under another name: called once per resample."""
    return area_under_curve(labels, probabilities)


@pytest.mark.parametrize("ties", [False, True])
def test_weighted_areas_are_those_of_the_repeated_cases(ties):
    labels, first, _ = study(ties=ties)
    weights = np.random.default_rng(1).integers(0, 4, (20, len(labels)))
    found = weighted_areas(labels == 1, first[:, 1], weights.astype(float))
    each = [
        roc_auc_score(np.repeat(labels, often), np.repeat(first[:, 1], often)) for often in weights
    ]
    assert found == pytest.approx(each)


def test_weighted_areas_are_undefined_without_a_class():
    weights = np.array([[1.0, 0.0], [1.0, 1.0]])
    found = weighted_areas(np.array([False, True]), np.array([0.1, 0.2]), weights)
    assert np.isnan(found[0])
    assert found[1] == 1


@pytest.mark.parametrize("method", ["percentile", "bca"])
@pytest.mark.parametrize("grouped", [False, True], ids=["pooled", "by fold"])
def test_many_at_once_gives_what_one_by_one_gives(method, grouped):
    labels, first, second = study(ties=True)
    options = {
        "clusters": np.arange(120) // 2,
        "folds": np.arange(120) // 30 if grouped else None,
        "resamples": 300,
        "method": method,
    }
    fast = bootstrap_difference(labels, first, second, **options)
    slow = bootstrap_difference(labels, first, second, metric=same_area, **options)
    assert vars(fast) == pytest.approx(vars(slow))


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_an_interval_of_an_area_is_scipys(method):
    labels, first, _ = study(3, items=90)
    positive, negative = first[labels == 1, 1], first[labels == 0, 1]

    def area(x, y, axis=-1):
        ranks = stats.rankdata(np.concatenate([x, y], axis=axis), axis=axis)
        m, n = x.shape[axis], y.shape[axis]
        return (ranks[..., :m].sum(axis=axis) - m * (m + 1) / 2) / (m * n)

    theirs = stats.bootstrap(
        (positive, negative),
        area,
        n_resamples=10_000,
        method=method,
        rng=np.random.default_rng(0),
        batch=2000,
    )
    ours = bootstrap_interval(labels, first, resamples=10_000, method=method)
    low, high = theirs.confidence_interval
    assert (ours.low, ours.high) == pytest.approx((low, high), abs=0.004)
    assert ours.standard_error == pytest.approx(theirs.standard_error, rel=0.03)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_an_interval_of_a_mean_of_one_class_is_scipys(method):
    # Skewed, so that BCa moves: the Brier score of forty positives.
    skewed = np.random.default_rng(5).beta(0.5, 2, 40)
    labels = np.ones(40, dtype=int)
    theirs = stats.bootstrap(
        ((1 - skewed) ** 2,),
        np.mean,
        n_resamples=10_000,
        method=method,
        rng=np.random.default_rng(0),
    )
    ours = bootstrap_interval(
        labels, binary(skewed), metric=brier, resamples=5000, method=method, seed=1
    )
    low, high = theirs.confidence_interval
    assert (ours.low, ours.high) == pytest.approx((low, high), abs=0.01)


def test_a_paired_difference_agrees_with_delong():
    labels, first, second = study(4, items=600)
    found = bootstrap_difference(labels, first, second)
    expected = delong_test(labels, first[:, 1], second[:, 1])
    assert found.estimate == pytest.approx(expected.difference)
    assert found.standard_error == pytest.approx(expected.standard_error, rel=0.06)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.006)
    assert found.p == pytest.approx(expected.p, abs=0.03)


def test_the_error_of_a_mean_is_known():
    # Of 80 positives and 40 negatives drawn apart: two binomials.
    labels, first, _ = study()
    found = bootstrap_interval(labels, first, metric=accuracy, resamples=5000)
    right = (first[:, 1] >= 0.5) == labels
    variance = (
        sum((labels == c).sum() * right[labels == c].var() for c in (0, 1)) / len(labels) ** 2
    )
    assert found.standard_error == pytest.approx(np.sqrt(variance), rel=0.04)


def test_classes_keep_their_numbers_where_a_patient_has_one_class():
    labels, first, _ = study()
    found = bootstrap_interval(labels, first, metric=mean_label, resamples=200)
    assert found.standard_error == pytest.approx(0)


def test_patients_are_drawn_whole():
    labels, patients = np.array([0, 0, 1, 1, 0, 1]), np.array(["b", "b", "a", "a", "c", "c"])
    grouped = clusters_of(labels, patients)
    # Strata: only negative, only positive, both.
    assert sorted(len(stratum) for stratum in grouped.strata) == [1, 1, 1]
    drawn = np.concatenate(list(clusters_of(labels, np.array([1, 1, 1, 2, 2, 2])).draws(500, 0)))
    assert (drawn[:, :3] == drawn[:, :1]).all()
    assert (drawn[:, 3:] == drawn[:, 3:4]).all()
    assert (drawn.sum(axis=1) == 6).all()
    assert set(np.unique(drawn)) == {0, 1, 2}


def test_doubling_every_case_of_a_patient_adds_no_knowledge():
    labels, first, second = study(items=60)
    twice = [np.repeat(one, 2, axis=0) for one in (labels, first, second)]
    plain = bootstrap_difference(labels, first, second, resamples=500)
    clustered = bootstrap_difference(*twice, clusters=np.repeat(np.arange(60), 2), resamples=500)
    blind = bootstrap_difference(*twice, resamples=500)
    assert vars(plain) == pytest.approx(vars(clustered))
    assert blind.standard_error < 0.8 * plain.standard_error


def test_by_fold_it_is_the_mean_over_folds():
    labels, first, _ = study()
    folds = np.arange(120) // 30
    found = bootstrap_interval(labels, first + folds[:, None], folds=folds, resamples=200)
    each = [area_under_curve(labels[folds == f], first[folds == f]) for f in range(4)]
    assert found.estimate == pytest.approx(np.mean(each))


def test_several_classes_are_averaged():
    random = np.random.default_rng(0)
    labels = np.arange(90) % 3
    values = random.dirichlet(np.ones(3), 90) + 0.3 * np.eye(3)[labels]
    fast = bootstrap_interval(labels, values, resamples=200)
    slow = bootstrap_interval(labels, values, metric=same_area, resamples=200)
    assert fast.estimate == pytest.approx(
        roc_auc_score(labels, values / values.sum(axis=1, keepdims=True), multi_class="ovr"),
        abs=0.02,
    )
    assert vars(fast) == pytest.approx(vars(slow))


def test_resamples_without_a_class_are_counted():
    # Six patients with cases of both classes or of one: the one all-positive patient may be missed.
    labels = np.array([0, 1, 0, 1, 0, 1])
    folds = np.array([0, 0, 1, 1, 2, 2])
    found = bootstrap_interval(
        labels, binary(np.linspace(0.1, 0.9, 6)), folds=folds, resamples=1000
    )
    # Defined only if some fold is left with both its cases.
    assert 0 < found.undefined < 500
    assert found.resamples + found.undefined == 1000


def test_a_metric_that_is_hardly_ever_defined_is_refused():
    def fussy(labels, probabilities):
        return 1.0 if len(np.unique(probabilities[:, 1])) == len(labels) else float("nan")

    labels, first, _ = study()
    with pytest.raises(DataError, match="too few patients of a class"):
        bootstrap_interval(labels, first, metric=fussy, resamples=100)


def test_wrong_input_is_refused():
    labels, first, _ = study()
    with pytest.raises(DataError, match="a class is missing"):
        bootstrap_interval(np.ones(120, dtype=int), first)
    with pytest.raises(UsageError, match="10 resamples are too few"):
        bootstrap_interval(labels, first, resamples=10)
    with pytest.raises(DataError, match="no cases"):
        bootstrap_interval(labels[:0], first[:0])


def test_the_same_seed_draws_the_same_patients():
    labels, first, second = study()
    one = bootstrap_difference(labels, first, second, resamples=300, seed=4)
    assert one == bootstrap_difference(labels, first, second, resamples=300, seed=4)
    assert one != bootstrap_difference(labels, first, second, resamples=300, seed=5)


def test_a_model_compared_with_itself_has_p_one():
    labels, first, _ = study()
    found = bootstrap_difference(labels, first, first, method="bca", resamples=200)
    assert (found.estimate, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_p_is_never_zero():
    labels = np.arange(100) % 2
    found = bootstrap_difference(labels, binary(labels * 1.0), binary(1.0 - labels), resamples=999)
    assert found.p == 2 / 1000


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 99))
def test_swapping_the_models_flips_the_difference(seed):
    labels, first, second = study(seed, items=30)
    one = bootstrap_difference(labels, first, second, resamples=200)
    other = bootstrap_difference(labels, second, first, resamples=200)
    assert (one.estimate, one.low, one.p) == pytest.approx((-other.estimate, -other.high, other.p))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 99))
def test_only_the_order_of_scores_counts(seed):
    labels, first, second = study(seed, items=30, ties=True)
    one = bootstrap_difference(labels, first, second, resamples=200)
    other = bootstrap_difference(labels, first**3, second**3, resamples=200)
    assert vars(one) == pytest.approx(vars(other))


def test_a_thousand_cases_take_a_second_or_two():
    labels, first, second = study(items=1000)
    started = time.process_time()
    bootstrap_difference(labels, first, second, method="bca")
    assert time.process_time() - started < 5


def test_a_smaller_level_makes_a_wider_interval():
    draw = np.random.default_rng(3)
    labels = np.tile([0, 1], 20)
    second = 1 / (1 + np.exp(-(labels + draw.normal(size=40))))
    both = np.stack([1 - second, second], axis=1)
    reach = [
        found.high - found.low
        for found in (bootstrap_interval(labels, both, alpha=alpha) for alpha in (0.01, 0.05, 0.5))
    ]
    assert reach[0] > reach[1] > 1.5 * reach[2]


def by_fold(of_fold, folds=10, seed=0, classes=3, strength=1.5):
    """So many patients of each class in each fold, and networks that tell them apart somewhat."""
    random = np.random.default_rng(seed)
    labels = np.tile(np.repeat(np.arange(classes), of_fold), folds)
    scores = random.normal(size=(len(labels), classes))
    scores[np.arange(len(labels)), labels] += strength
    raised = np.exp(scores)
    return labels, raised / raised.sum(axis=1, keepdims=True), np.repeat(
        np.arange(folds), sum(of_fold)
    )  # fmt: skip


@pytest.mark.parametrize("size", [2, 3, 4, 7, 10])
def test_half_of_a_stratum_drawn_twice_lets_a_mean_vary_as_much_as_it_should(size):
    """Antal & Tille (2014): variance 1, covariance -1 / (n - 1), integers that add up to n."""
    weights = doubled_half(size, 40_000, np.random.default_rng(0))
    assert (weights.sum(axis=1) == size).all()
    assert set(weights.ravel()) <= {0.0, 1.0, 2.0, 3.0}
    expected = (np.eye(size) * size - 1) / (size - 1)
    assert np.cov(weights.T) == pytest.approx(expected, abs=0.03)


def test_small_classes_are_drawn_within_their_folds_and_patients_whole():
    labels, _, folds = by_fold((2, 3, 6))
    patients = np.array([f"p{number // 2}" for number in range(len(labels))])  # across classes
    few = clusters_of(labels, None, folds)
    assert few.within_folds
    assert sorted(map(len, few.strata)) == [2] * 10 + [3] * 10 + [6] * 10
    weights = next(few.draws(200, 0))
    for fold in range(10):
        for label in range(3):
            inside = (folds == fold) & (labels == label)
            assert (weights[:, inside].sum(axis=1) == inside.sum()).all()
    shared = clusters_of(labels[:110], patients[:110], (folds // 2)[:110])
    weights = next(shared.draws(100, 0))
    for patient in np.unique(patients):
        own = weights[:, patients[:110] == patient]
        assert (own == own[:, :1]).all()


def test_enough_patients_or_folds_that_share_them_are_drawn_over_all_folds():
    labels, _, folds = by_fold((5, 6, 7))
    assert not clusters_of(labels, None, folds).within_folds
    labels, _, folds = by_fold((2, 3, 6))
    held_out_twice = np.arange(len(labels)) % 11
    assert not clusters_of(labels, held_out_twice, folds).within_folds


@pytest.mark.parametrize("metric", [area_under_curve, same_area], ids=["at once", "one by one"])
def test_no_fold_loses_a_class_where_patients_are_alone_in_it(metric):
    labels, probabilities, folds = by_fold((1, 3, 6))
    found = bootstrap_interval(labels, probabilities, folds=folds, metric=metric, resamples=200)
    assert found.undefined == 0
    draws = next(clusters_of(labels, None, folds).draws(200, 0))
    alone = draws[:, labels == 0]
    assert set(alone.ravel()) == {0.0, 2.0}
    assert (alone.sum(axis=1) == 10).all()  # who is left out leaves room for another one


def test_an_interval_of_a_small_class_has_delongs_width():
    """Obuchowski's variance of a mean over folds, from the placements and not from draws."""
    for seed in range(3):
        labels, probabilities, folds = by_fold((2, 3, 6), seed=seed)
        found = bootstrap_interval(labels, probabilities, folds=folds)
        exact = delong(labels, probabilities[None], folds=folds)
        assert found.standard_error == pytest.approx(math.sqrt(exact.covariance[0, 0]), rel=0.12)


def test_a_small_simulation_covers_the_truth():
    sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks" / "statistics"))
    import coverage_of_intervals as coverage

    found = coverage.simulate("10, 30, 60 patients", 40, 0)
    right = 2 * 1.96 * np.std([each.error for each in found])
    within, over_all = (np.mean([each.width[way] for each in found]) for way in (0, 1))
    assert within < 0.9 * over_all
    assert within == pytest.approx(right, rel=0.35)
    assert np.mean([each.covers[0] for each in found]) >= 0.875


def test_a_metric_that_most_resamples_lack_has_no_interval():
    calls = []

    def often_undefined(labels, probabilities):
        calls.append(1)
        return 0.5 if len(calls) == 1 or len(calls) % 4 == 0 else math.nan

    labels = np.arange(40) % 2
    probabilities = np.full((40, 2), 0.5)
    with pytest.raises(DataError, match=r"not defined in 7\d of 100 resamples; there are too few"):
        bootstrap_interval(labels, probabilities, metric=often_undefined, resamples=100)
