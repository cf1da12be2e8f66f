from collections import Counter

import numpy as np
import pytest

from volbench.data.loading.sampler import epoch_batches, evaluation_batches

RANDOM = np.random.default_rng(0)
LABELS = (RANDOM.random(103) < 0.3).astype(int)
SLICES = RANDOM.integers(3, 30, 103)


REPRESENTATIVE = np.where(LABELS == 1, RANDOM.integers(2, 6, 103), 1)


def draw(name, *, seed=0, batch_size=8, labels=LABELS, slices=SLICES):
    return epoch_batches(
        name,
        labels,
        slices,
        batch_size=batch_size,
        seed=seed,
        representative=REPRESENTATIVE if labels is LABELS else None,
    )


def test_a_balanced_batch_has_equally_many_of_every_class():
    for batch in draw("balanced"):
        assert Counter(LABELS[batch]) == {0: 4, 1: 4}


def test_a_balanced_epoch_is_as_long_as_the_data_and_repeats_the_small_class_evenly():
    batches = draw("balanced")
    assert len(batches) == 13  # 103 cases in batches of 8
    times = Counter(np.concatenate(batches).tolist())
    of_small_class = [times[index] for index in np.flatnonzero(LABELS == 1)]
    assert max(of_small_class) - min(of_small_class) <= 1


def test_a_natural_epoch_has_every_case_once():
    assert Counter(np.concatenate(draw("natural")).tolist()) == Counter(range(103))


def test_a_natural_epoch_has_no_batch_of_one():
    batches = draw("natural", labels=LABELS[:97], slices=SLICES[:97])
    assert min(map(len, batches)) > 1
    assert sum(map(len, batches)) == 97


def test_a_weighted_epoch_has_the_classes_in_equal_shares_on_average():
    drawn = np.concatenate([np.concatenate(draw("weighted", seed=seed)) for seed in range(50)])
    assert LABELS[drawn].mean() == pytest.approx(0.5, abs=0.03)


def test_short_volumes_do_not_always_come_first():
    means = np.mean(
        [[SLICES[each].mean() for each in draw("natural", seed=n)] for n in range(60)], 0
    )
    assert np.ptp(means[:12]) < 8, "sorted within windows, they would rise by about twenty"


def test_slices_weighted_have_the_classes_in_equal_shares_of_representative_slices():
    drawn = np.concatenate(
        [np.concatenate(draw("weighted_slices", seed=seed)) for seed in range(50)]
    )
    slices = np.bincount(LABELS[drawn], weights=REPRESENTATIVE[drawn])
    assert slices[1] / slices.sum() == pytest.approx(0.5, abs=0.03)
    assert LABELS[drawn].mean() < 0.3  # so the class with more slices a case has fewer cases


@pytest.mark.parametrize("name", ["balanced", "weighted", "weighted_slices", "natural"])
def test_batches_follow_from_the_seed(name):
    first, again, other = draw(name), draw(name), draw(name, seed=1)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("name", ["balanced", "natural"])
def test_batches_pad_less_than_unsorted_ones(name):
    def padded(batches):
        return sum(len(batch) * SLICES[batch].max() - SLICES[batch].sum() for batch in batches)

    batches = draw(name)
    drawn = RANDOM.permutation(np.concatenate(batches))
    unsorted = [drawn[start : start + 8] for start in range(0, len(drawn), 8)]
    assert padded(batches) < 0.7 * padded(unsorted)


def test_evaluation_takes_every_case_once_in_the_order_of_slices():
    order = np.concatenate(evaluation_batches(SLICES, 16))
    assert sorted(order) == list(range(103))
    assert (np.diff(SLICES[order]) >= 0).all()


def test_a_batch_of_three_classes_is_rounded_down_to_equal_shares():
    labels = np.arange(90) % 3
    for batch in draw("balanced", labels=labels, slices=np.ones(90, dtype=int)):
        assert Counter(labels[batch]) == {0: 2, 1: 2, 2: 2}


@pytest.mark.parametrize("name", ["balanced", "natural"])
def test_every_seed_puts_other_cases_together(name):
    alike = np.ones(103, dtype=int)
    first, second = (
        {frozenset(batch.tolist()) for batch in draw(name, seed=seed, slices=alike)}
        for seed in (0, 1)
    )
    assert len(first & second) < len(first) / 2
