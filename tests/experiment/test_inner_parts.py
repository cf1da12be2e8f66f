"""The inner validation part of a fold: drawn anew for each fold and each seed."""

from tests.helpers.small import small_case
from volbench.experiment.inner_validation import draw_inner_validation
from volbench.experiment.split_designs import make_split


def parts(seed):
    cases = tuple(small_case(number, label=number % 2) for number in range(60))
    split = make_split(cases, 5, 0)
    return [split.part(fold, validation_fraction=0.2, seed=seed) for fold in split.folds]


def test_each_fold_and_each_seed_has_an_inner_part_of_its_own():
    found = parts(0)
    both = set(found[0].validation) | set(found[0].train)
    rest = both & (set(found[1].validation) | set(found[1].train))
    assert set(found[0].validation) & rest != set(found[1].validation) & rest
    assert [part.validation for part in parts(1)] != [part.validation for part in found]
    assert [part.validation for part in parts(0)] == [part.validation for part in found]


def test_the_share_is_that_of_the_recipe():
    cases = tuple(small_case(number, label=number % 2) for number in range(60))
    split = make_split(cases, 3, 0)
    sizes = [
        len(split.part(0, validation_fraction=share, seed=0).validation)
        for share in (0.1, 0.25, 0.5)
    ]
    assert sizes == [4, 10, 20]


def test_each_fold_draws_its_own_even_from_the_same_patients():
    """As random splits and repeated folds ask for it: not only because others are held out."""
    cases = [small_case(number) for number in range(60)]
    parts = {
        draw_inner_validation(cases, range(60), fraction=0.15, fold=fold, seed=0)
        for fold in range(4)
    }
    assert len(parts) == 4
