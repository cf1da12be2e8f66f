"""Average, maximum and attention against NumPy and SciPy in float64."""

import math

import numpy as np
import pytest
import scipy.special
import torch

from volbench.aggregators.attention import Attention
from volbench.aggregators.average import Average
from volbench.aggregators.max import Max

LENGTHS = (4, 1, 7)


def by_hand(pool):
    tokens = np.random.default_rng(0).normal(scale=2.0, size=(3, 7, 5))
    mask = np.arange(7) < np.array(LENGTHS)[:, None]
    expected = np.stack([pool(case[:n]) for case, n in zip(tokens, LENGTHS, strict=True)])
    return torch.from_numpy(tokens), torch.from_numpy(mask), torch.from_numpy(expected)


def attention_by_hand(case):
    return (scipy.special.softmax(case, axis=0) * case).sum(axis=0)


@pytest.mark.parametrize(
    ("aggregator", "pool"),
    [
        (Average(5), lambda case: case.mean(axis=0)),
        (Max(5), lambda case: case.max(axis=0)),
        (Attention(5), attention_by_hand),
    ],
    ids=["average", "max", "attention"],
)
def test_values_are_those_of_the_formula(aggregator, pool):
    tokens, mask, expected = by_hand(pool)
    torch.testing.assert_close(aggregator(tokens, mask), expected)


@pytest.mark.parametrize("aggregator", [Average(5), Max(5), Attention(5)], ids=repr)
def test_gradients_are_those_of_finite_differences(aggregator):
    tokens, mask, _ = by_hand(lambda case: case[0])
    tokens.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: aggregator(x, mask), tokens)


def test_slices_that_tie_for_the_maximum_share_its_gradient():
    tokens = torch.tensor([[[3.0], [1.0], [3.0]]], requires_grad=True)
    Max(1)(tokens).sum().backward()
    assert tokens.grad.flatten().tolist() == [0.5, 0.0, 0.5]


def test_attention_weighs_each_feature_on_its_own():
    ln3 = float(np.log(3.0))
    tokens = torch.tensor([[[ln3, 0.0], [0.0, 0.0]]])
    embedding = Attention(2)(tokens)
    torch.testing.assert_close(embedding, torch.tensor([[0.75 * ln3, 0.0]]))


def test_attention_does_not_overflow():
    embedding = Attention(1)(torch.tensor([[[1000.0], [990.0]]]))
    torch.testing.assert_close(embedding, torch.tensor([[1000 - 10 * np.exp(-10.0)]]).float())


def test_none_of_them_has_anything_to_learn():
    for aggregator in (Average(5), Max(5), Attention(5)):
        assert not list(aggregator.parameters())
        assert not aggregator.state_dict()


def test_the_weights_of_attention_add_up_to_one():
    tokens = torch.tensor([[[0.0, 3.0], [2.0, 0.0], [1.0, 1.0]]])
    mask = torch.tensor([[True, True, False]])
    weights = Attention(2).slice_weights(tokens, mask)
    assert weights.sum().item() == pytest.approx(1.0)
    expected = [(1 / (1 + math.exp(2)) + 1 / (1 + math.exp(-3))) / 2]
    assert weights[0, 0].item() == pytest.approx(expected[0])
    assert weights[0, 2].item() == 0.0
