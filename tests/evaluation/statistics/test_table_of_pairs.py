import gc
import itertools
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from volbench.errors import DataError
from volbench.evaluation.statistics import holm, holm_matrix, indistinguishable, letters, verdict


def matrix(rows, different, p=0.001):
    """p values of all pairs: small for those that differ, 1 for the others."""
    values = np.ones((rows, rows))
    for one, other in different:
        values[one, other] = values[other, one] = p
    return values


def test_holm_by_hand():
    # In order: .01 * 4 = .04, .02 * 3 = .06, .03 * 2 = .06; .04 * 1 may not fall below these.
    assert holm(np.array([0.03, 0.01, 0.04, 0.02])) == pytest.approx([0.06, 0.04, 0.06, 0.06])


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_holm_is_that_of_statsmodels(p):
    with mock.patch.object(gc, "collect"):  # which it calls each time, for most of a second here
        expected = multipletests(p, method="holm")[1]
    assert holm(np.array(p)).tolist() == expected.tolist()


def test_holm_never_exceeds_one():
    assert holm(np.array([0.6, 0.9])).tolist() == [1.0, 1.0]


def test_one_comparison_needs_no_adjustment():
    assert holm(np.array([0.03])).tolist() == [0.03]
    assert holm(np.array([])).tolist() == []


def test_an_undefined_p_stays_so_and_counts():
    assert holm(np.array([0.01, np.nan, 0.02])) == pytest.approx([0.03, np.nan, 0.04], nan_ok=True)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, np.inf])
def test_what_is_no_probability_is_refused(wrong):
    with pytest.raises(DataError, match="is not between 0 and 1"):
        holm(np.array([0.5, wrong]))


def test_a_matrix_is_adjusted_pair_by_pair():
    p = np.array([[9.0, 0.01, 0.04], [9.0, 9.0, 0.03], [9.0, 9.0, 9.0]])
    assert holm_matrix(p) == pytest.approx(
        np.array([[1, 0.03, 0.06], [0.03, 1, 0.06], [0.06, 0.06, 1]])
    )


@pytest.mark.parametrize(
    ("difference", "p", "word"),
    [
        (0.1, 0.049, "better"),
        (-0.1, 0.049, "worse"),
        (0.1, 0.05, "no difference shown"),
        (-0.1, 0.5, "no difference shown"),
        (0.1, float("nan"), "no difference shown"),
        (0.0, 0.01, "no difference shown"),
    ],
)
def test_one_word_per_pair(difference, p, word):
    assert verdict(difference, p) == word


def test_a_lower_brier_score_is_better():
    assert verdict(-0.1, 0.01, lower_is_better=True) == "better"
    assert verdict(0.1, 0.01, lower_is_better=True) == "worse"


def test_the_level_can_be_another():
    assert verdict(0.1, 0.03, alpha=0.01) == "no difference shown"


@pytest.mark.parametrize(
    ("rows", "different", "expected"),
    [
        # The two examples of multcompLetters in R's multcompView, with the letters it prints.
        (3, [(1, 2)], ("ab", "a", "b")),
        (4, [(0, 1), (0, 2), (1, 3)], ("a", "b", "bc", "ac")),
        (3, [], ("a", "a", "a")),
        (3, [(0, 1), (0, 2), (1, 2)], ("a", "b", "c")),
        (1, [], ("a",)),
        (0, [], ()),
    ],
)
def test_known_displays(rows, different, expected):
    assert letters(matrix(rows, different)) == expected


def test_undefined_pairs_are_not_told_apart():
    assert letters(matrix(2, [(0, 1)], p=np.nan)) == ("a", "a")


def test_there_is_a_letter_for_every_group():
    every = list(itertools.combinations(range(60), 2))
    found = letters(matrix(60, every))
    assert (found[25], found[26], found[51], found[52], found[59]) == ("z", "A", "Z", "a2", "h2")
    assert len(set(found)) == 60


tables = (
    st.integers(1, 7)
    .flatmap(
        lambda rows: st.tuples(
            st.just(rows),
            st.sets(st.sampled_from([*itertools.combinations(range(rows), 2), (0, 0)])),
        )
    )
    .map(lambda table: (table[0], {pair for pair in table[1] if pair[0] != pair[1]}))
)


@given(tables)
def test_rows_share_a_letter_exactly_if_they_do_not_differ(table):
    rows, different = table
    found = letters(matrix(rows, different))
    for one, other in itertools.combinations(range(rows), 2):
        assert bool(set(found[one]) & set(found[other])) == ((one, other) not in different)


@given(tables)
def test_groups_are_all_the_largest_ones(table):
    rows, different = table
    alike = [
        set(group)
        for size in range(1, rows + 1)
        for group in itertools.combinations(range(rows), size)
        if not any(pair in different for pair in itertools.combinations(group, 2))
    ]
    largest = [group for group in alike if not any(group < other for other in alike)]
    found = indistinguishable(matrix(rows, different))
    assert sorted(map(sorted, largest)) == [list(group) for group in found]
