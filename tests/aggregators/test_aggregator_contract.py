import pytest
import torch

from volbench.interfaces import Aggregator
from volbench.plugins.registry import aggregators
from volbench.testing.aggregators import AggregatorContract

VARIANTS = (
    "gated_attention(gate=False, hidden=5)",
    "transformer(positions='learned', layers=2, heads=2, width=10)",
    "transformer(pool='mean', positions='none', width=7, heads=1, dropout=0.5)",
)


@pytest.mark.parametrize("spec", [*aggregators, *VARIANTS])
class TestEveryAggregator(AggregatorContract):
    @pytest.fixture(autouse=True)
    def _spec(self, spec):
        self.spec = spec

    def test_padding_may_even_hold_nan_and_infinity(self, aggregator):
        tokens = self.tokens(2, 5)
        for junk in (torch.nan, torch.inf, -torch.inf):
            padded = tokens.masked_fill(~self.mask()[..., None], junk).requires_grad_()
            embedding = aggregator(padded, self.mask())
            embedding.sum().backward()
            torch.testing.assert_close(embedding[:1], aggregator(tokens[:1, :3]))
            assert padded.grad.isfinite().all()

    def test_doubles_stay_doubles_and_halves_are_pooled_in_single(self, aggregator):
        for given, expected in (
            (torch.float64, torch.float64),
            (torch.float32, torch.float32),
            (torch.bfloat16, torch.float32),
        ):
            pooled = aggregator.to(expected)(self.tokens(2, 5).to(given), self.mask())
            assert pooled.dtype == expected


class IgnoresTheMask(Aggregator):
    def __init__(self, num_features):
        super().__init__()
        self.num_features = num_features

    def forward(self, tokens, mask=None):
        return tokens.mean(dim=1)


class PoolsOverTheBatch(IgnoresTheMask):
    def forward(self, tokens, mask=None):
        return tokens.mean(dim=(0, 1), keepdim=True)[0].expand(len(tokens), -1)


class IndexesWithTheMask(IgnoresTheMask):
    def forward(self, tokens, mask=None):
        if mask is None:
            return tokens.mean(dim=1)
        return torch.stack(
            [case[real].mean(dim=0) for case, real in zip(tokens, mask, strict=True)]
        )


@pytest.mark.parametrize(
    ("wrong", "test", "message"),
    [
        (IgnoresTheMask, "test_gradients_reach_every_real_token_and_no_padding", "use the mask"),
        (PoolsOverTheBatch, "test_a_case_does_not_depend_on_its_batch", "each case on its own"),
    ],
)
def test_the_contract_tells_what_is_wrong(wrong, test, message):
    contract = AggregatorContract()
    contract.spec = "wrong"
    with aggregators.adding(wrong=wrong), pytest.raises(AssertionError, match=message):
        getattr(contract, test)(contract.build(seed=0))


def test_the_contract_catches_padding_that_counts():
    contract = AggregatorContract()
    contract.spec = "wrong"
    with (
        aggregators.adding(wrong=IgnoresTheMask),
        pytest.raises(AssertionError, match=r"padding of 0\.0 changes the result; use the mask"),
    ):
        contract.test_padding_does_not_change_the_result(contract.build(seed=0), 0.0)


def test_the_contract_catches_waiting_for_the_device():
    contract = AggregatorContract()
    contract.spec = "wrong"
    with (
        aggregators.adding(wrong=IndexesWithTheMask),
        pytest.raises(pytest.fail.Exception, match="asks a tensor for its values"),
    ):
        contract.test_does_not_synchronise_with_the_host(contract.build(seed=0))
