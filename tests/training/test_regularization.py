import numpy as np
import pytest
import torch
from torch import nn

from volbench.data.loading.loader import Batch
from volbench.experiment.recipe import Regularization
from volbench.training.regularization import Regularizer, WeightAverage

LENGTHS = torch.tensor([3, 5, 3, 5, 5, 2])


def _batch() -> Batch:
    mask = torch.arange(5) < LENGTHS[:, None]
    volume = torch.arange(6.0)[:, None, None, None, None].expand(6, 1, 5, 2, 2)
    return Batch(np.arange(6), volume, mask, torch.arange(6) % 2)


def _regularizer(**options: object) -> Regularizer:
    regularizer = Regularizer(Regularization.model_validate(options))
    regularizer.start(7)
    return regularizer


def test_cases_are_mixed_with_cases_of_as_many_slices() -> None:
    regularizer = _regularizer(mixup=0.4)
    partners = set()
    for _ in range(20):
        mixing = regularizer.draw_mixing(_batch())
        assert mixing is not None
        assert (LENGTHS[mixing.partner] == LENGTHS).all()
        assert sorted(mixing.partner.tolist()) == list(range(6))
        assert 0 <= mixing.share <= 1
        mixed = regularizer.mix_volume(_batch().volume, mixing)
        expected = mixing.share * torch.arange(6) + (1 - mixing.share) * mixing.partner
        torch.testing.assert_close(mixed[:, 0, 0, 0, 0], expected)
        partners.add(tuple(mixing.partner.tolist()))
    assert len(partners) > 3


def test_shares_follow_the_beta_distribution() -> None:
    regularizer, batch = _regularizer(mixup=2.0), _batch()
    shares = [mixing.share for _ in range(2000) if (mixing := regularizer.draw_mixing(batch))]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.02)
    assert np.var(shares) == pytest.approx(1 / 20, abs=0.005)  # of Beta(2, 2)


def test_an_epoch_draws_the_same_again_from_its_seed() -> None:
    regularizer, batch = _regularizer(mixup=1.0, token_noise=0.1, mixup_on="token"), _batch()
    tokens = torch.randn(6, 5, 4)

    def once() -> torch.Tensor:
        regularizer.start(3)
        mixing = regularizer.draw_mixing(batch)
        return regularizer.change_tokens(tokens, batch.mask, mixing)[0]

    assert torch.equal(once(), once())
    assert regularizer.mix_volume(batch.volume, regularizer.draw_mixing(batch)) is batch.volume


def test_some_tokens_are_hidden_but_never_all_of_a_case() -> None:
    regularizer, mask = _regularizer(slice_dropout=0.7), _batch().mask
    assert mask is not None
    hidden = 0
    for _ in range(200):
        _, shown = regularizer.change_tokens(torch.randn(6, 5, 4), mask, None)
        assert shown is not None
        assert shown.any(dim=1).all()
        assert not (shown & ~mask).any()
        hidden += int((mask[1] & ~shown[1]).sum())
    assert hidden / 200 / 5 == pytest.approx(0.7, abs=0.05)


def test_noise_is_in_units_of_the_tokens() -> None:
    regularizer = _regularizer(token_noise=0.5)
    tokens = torch.full((8, 50, 16), 3.0)
    changed, _ = regularizer.change_tokens(tokens, None, None)
    assert (changed - tokens).std().item() == pytest.approx(1.5, rel=0.03)


def test_nothing_is_drawn_by_default() -> None:
    regularizer, batch = _regularizer(), _batch()
    assert regularizer.draw_mixing(batch) is None
    assert not regularizer.changes_tokens
    assert regularizer.mix_volume(batch.volume, None) is batch.volume


def test_averaged_weights_are_those_of_the_recursion() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = WeightAverage(model, 0.9)
    expected = model[0].weight.detach().clone()
    for step in range(200):
        with torch.no_grad():
            model[0].weight.add_(0.1)
            model[1].running_mean.add_(1)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model[0].weight.detach()
        average.update(model, step)
        torch.testing.assert_close(average.model[0].weight.detach(), expected)
    assert average.model[1].running_mean.tolist() == [200, 200]
