"""The suites that volbench's own aggregators pass, with options that change what is done."""

from importlib.util import find_spec

import pytest
import torch
from volbench.plugins.registry import aggregators
from volbench.testing import AggregatorContract

SPECS = (
    "gem",
    "gem(learn=False, p=1.5)",
    "log_sum_exp",
    "log_sum_exp(r=8)",
    "lstm",
    "lstm(bidirectional=False, hidden=5)",
)
OF_TORCHMIL = (
    "sm_attention",
    "sm_attention(hidden=5, steps=2, where='late')",
    "sm_attention(where='mid')",
    "sm_transformer",
    "sm_transformer(heads=2, hidden=6, layers=2, steps=3)",
)
INSTALLED = SPECS + (OF_TORCHMIL if find_spec("torchmil") else ())


@pytest.mark.parametrize("spec", INSTALLED)
class TestAggregator(AggregatorContract):
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
            for parameter in aggregator.parameters():
                assert parameter.grad is None or parameter.grad.isfinite().all()


def test_all_that_is_provided_is_under_test():
    provided = {
        name
        for name in aggregators
        if any(str(origin).startswith("volbench-mil ") for origin in aggregators.origins[name])
    }
    assert provided == {spec.partition("(")[0] for spec in SPECS + OF_TORCHMIL}
