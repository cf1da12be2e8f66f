import numpy as np
import pytest
import torch

from volbench.aggregators.positions import PLACES, Learned, Sinusoidal


@pytest.mark.parametrize("width", [8, 7])
def test_sinusoids_are_those_of_the_formula(width):
    found = Sinusoidal(width)(torch.ones(2, 50, dtype=torch.bool))
    expected = np.empty((50, width))
    for number in range(50):
        for feature in range(width):
            angle = number / 10000 ** (2 * (feature // 2) / width)
            expected[number, feature] = np.cos(angle) if feature % 2 else np.sin(angle)
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("slices", [2, 5, 16, 40])
def test_learned_positions_are_interpolated_between_the_first_slice_and_the_last(slices):
    module = Learned(3)
    found = module(torch.ones(1, slices, dtype=torch.bool))[0].detach().numpy()
    table = module.table.detach().numpy()
    places = np.linspace(0, PLACES - 1, slices)
    expected = np.stack(
        [np.interp(places, np.arange(PLACES), column) for column in table.T], axis=1
    )
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_learned_positions_end_where_the_case_does():
    module = Learned(3)
    mask = torch.tensor([[True] * 4 + [False] * 3])
    torch.testing.assert_close(module(mask)[:, :4], module(mask[:, :4]))


def test_a_single_slice_is_the_first():
    module = Learned(3)
    torch.testing.assert_close(module(torch.ones(1, 1, dtype=torch.bool))[0, 0], module.table[0])
