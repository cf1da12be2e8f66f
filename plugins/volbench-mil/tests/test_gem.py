import numpy as np
import pytest
import torch
from bags import by_case, draw, pooled

from volbench_mil.gem import GeM


@pytest.mark.parametrize("p", [0.5, 1.0, 3.0, 8.0])
def test_values_are_those_of_the_formula(p):
    tokens, mask = draw(positive=True)
    expected = by_case(lambda case: (case**p).mean(axis=0) ** (1 / p), tokens, mask)
    np.testing.assert_allclose(pooled(GeM(6, p=p), tokens, mask), expected, rtol=1e-6)


def test_features_below_eps_count_as_eps():
    tokens, mask = draw()
    expected = by_case(
        lambda case: (np.maximum(case, 0.2) ** 3).mean(axis=0) ** (1 / 3), tokens, mask
    )
    np.testing.assert_allclose(pooled(GeM(6, eps=0.2), tokens, mask), expected, rtol=1e-6)


def test_a_high_power_of_large_features_does_not_overflow():
    token = torch.tensor([[[1e4], [2e4]]])
    # (1e4⁶⁰ + 2e4⁶⁰) / 2 is 1e258: far beyond single precision.
    torch.testing.assert_close(GeM(1, p=60.0)(token), torch.tensor([[2e4 * 0.5 ** (1 / 60)]]))


def test_the_gradient_of_p_is_that_of_finite_differences():
    tokens, mask = draw(positive=True)
    aggregator = GeM(6, p=2.5).double()

    def formula(p):
        return by_case(lambda case: (case**p).mean(axis=0) ** (1 / p), tokens, mask).sum()

    aggregator(torch.from_numpy(tokens), torch.from_numpy(mask)).sum().backward()
    slope = (formula(2.5 + 1e-5) - formula(2.5 - 1e-5)) / 2e-5
    # What is trained is log p: its slope is p times that of p.
    assert aggregator.log_p.grad.item() == pytest.approx(2.5 * slope, rel=1e-5)


def test_p_stays_positive_wherever_training_takes_it():
    aggregator = GeM(6)
    with torch.no_grad():
        aggregator.log_p.fill_(-5.0)
    assert 0 < aggregator.p.item() < 0.01
    assert aggregator(torch.rand(2, 3, 6)).isfinite().all()


def test_p_is_trained_only_if_it_may_be():
    tokens = torch.rand(2, 3, 6, requires_grad=True)
    for learn in (True, False):
        aggregator = GeM(6, learn=learn)
        aggregator(tokens).sum().backward()
        assert (aggregator.log_p.grad is not None) is learn
