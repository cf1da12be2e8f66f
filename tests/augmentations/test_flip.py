import numpy as np
import pytest
import torch

from volbench._utils.case_generator import CaseGenerator
from volbench.augmentations.flip import Flip
from volbench.errors import SpecError
from volbench.interfaces import Augmentation
from volbench.plugins.registry import augmentations


def volumes(cases):
    return torch.randn(cases, 2, 3, 4, 5), torch.ones(cases, 3, dtype=torch.bool)


def test_a_flip_reverses_the_columns_of_every_slice():
    volume, mask = volumes(4)
    flipped = Flip(p=1)(volume, mask, CaseGenerator(range(4)))
    np.testing.assert_array_equal(flipped.numpy(), volume.numpy()[..., ::-1])


def test_a_probability_of_zero_never_flips():
    volume, mask = volumes(4)
    assert torch.equal(Flip(p=0)(volume, mask, CaseGenerator(range(4))), volume)


def test_each_case_is_flipped_as_a_whole_or_not_at_all_as_often_as_asked():
    volume, mask = volumes(1)
    volume, mask = volume.expand(2000, -1, -1, -1, -1), mask.expand(2000, -1)
    changed = Flip(p=0.3)(volume, mask, CaseGenerator(range(2000)))
    flipped = (changed == volume.flip(-1)).flatten(1).all(dim=1)
    kept = (changed == volume).flatten(1).all(dim=1)
    assert (flipped ^ kept).all()
    # The standard error is sqrt(0.3 * 0.7 / 2000) = 0.010.
    assert flipped.float().mean().item() == pytest.approx(0.3, abs=0.04)


def test_a_probability_above_one_is_refused():
    with pytest.raises(SpecError) as caught:
        augmentations.build("flip(p=1.5)", Augmentation)
    assert str(caught.value) == "augmentation flip(p=1.5): p must be from 0 to 1, but got p=1.5"
