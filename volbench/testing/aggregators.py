"""Contract of an aggregator: subclass ``AggregatorContract`` and set ``spec``.

from volbench.testing import AggregatorContract

class TestLogSumExp(AggregatorContract):
    spec = "lse(r=2)"
"""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from volbench.interfaces import Aggregator
from volbench.plugins.registry import aggregators
from volbench.testing.component import ComputingContract
from volbench.testing.values import check_asks_for_no_values


class AggregatorContract(ComputingContract):
    """What every aggregator must do.

    Attributes:
        spec: The aggregator under test.
        num_features: Length of the tokens it is built for.

    >>> class TestOurs(AggregatorContract):  # pytest collects its tests
    ...     spec = "average"
    >>> any(name.startswith("test_") for name in dir(TestOurs))
    True
    """

    registry = aggregators
    num_features: int = 6

    @pytest.fixture
    def aggregator(self) -> Aggregator:
        """The aggregator of ``spec``, ready to be used rather than trained."""
        return self.build(seed=0)

    def build(self, *, seed: int) -> Aggregator:
        """Build ``spec`` with the weights that follow from a seed."""
        torch.manual_seed(seed)
        return aggregators.build(self.spec, Aggregator, self.num_features).eval()

    def inputs(self, device: str = "cpu") -> tuple[Tensor, ...]:
        """Tokens of two cases and which of them are real."""
        return self.tokens(2, 5).to(device), self.mask().to(device)

    def compute(self, component: Aggregator, *inputs: Tensor) -> Tensor:
        """Pool them."""
        embedding: Tensor = component(*inputs)
        return embedding

    def tokens(self, batch: int, slices: int, *, seed: int = 1) -> Tensor:
        """Draw tokens in which every slice holds the largest value of some feature."""
        generator = torch.Generator().manual_seed(seed)
        tokens = torch.randn(batch, slices, self.num_features, generator=generator)
        return tokens + 3 * torch.eye(slices, self.num_features)

    def mask(self) -> Tensor:
        """Two cases of three and of five real slices, padded to five."""
        return torch.tensor([[True, True, True, False, False], [True] * 5])

    def test_returns_one_vector_per_case_as_long_as_it_says(self, aggregator: Aggregator) -> None:
        """``num_features`` is what the head is built for."""
        embedding = aggregator(self.tokens(3, 5))
        expected = (3, aggregator.num_features)
        assert embedding.shape == expected, self.says(
            f"returned {tuple(embedding.shape)}, not {expected}; correct num_features"
        )
        assert embedding.isfinite().all(), self.says("returned NaN or infinity")

    @pytest.mark.parametrize("junk", [0.0, 1e4, -1e4])
    def test_padding_does_not_change_the_result(self, aggregator: Aggregator, junk: float) -> None:
        """A padded case gives what it gives alone, whatever the padding holds."""
        tokens = self.tokens(2, 5)
        padded = tokens.masked_fill(~self.mask()[..., None], junk)
        _assert_same(
            aggregator(padded, self.mask())[:1],
            aggregator(tokens[:1, :3]),
            self.says(f"padding of {junk} changes the result; use the mask"),
        )

    def test_no_mask_means_that_all_slices_are_real(self, aggregator: Aggregator) -> None:
        """``mask=None`` and a mask of True are one thing."""
        tokens = self.tokens(2, 5)
        _assert_same(
            aggregator(tokens),
            aggregator(tokens, torch.ones(2, 5, dtype=torch.bool)),
            self.says("mask=None must mean that every slice is real"),
        )

    def test_a_case_does_not_depend_on_its_batch(self, aggregator: Aggregator) -> None:
        """Each case alone gives its row of the batch."""
        tokens = self.tokens(3, 4)
        alone = torch.cat([aggregator(case[None]) for case in tokens])
        _assert_same(
            aggregator(tokens),
            alone,
            self.says("a case changes with its batch; pool each case on its own"),
        )

    @pytest.mark.parametrize("slices", [1, 2, 7, 100])
    def test_takes_one_slice_and_many(self, aggregator: Aggregator, slices: int) -> None:
        """A case may have one slice only, or a hundred."""
        embedding = aggregator(self.tokens(2, slices))
        expected = (2, aggregator.num_features)
        assert embedding.shape == expected, self.says(
            f"{slices} slices give {tuple(embedding.shape)}, not {expected}; the length of its "
            "result must not depend on their number"
        )
        assert embedding.isfinite().all(), self.says(f"{slices} slices give NaN or infinity")

    def test_gradients_reach_its_own_parameters(self, aggregator: Aggregator) -> None:
        """What it owns is trained; parameters are moved off zeros they may start from."""
        if not any(parameter.requires_grad for parameter in aggregator.parameters()):
            return
        with torch.no_grad():
            for parameter in aggregator.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
        _functional(aggregator(self.tokens(2, 5), self.mask())).backward()
        for name, parameter in aggregator.named_parameters():
            if not parameter.requires_grad:
                continue
            gradient = parameter.grad
            idle = f"its parameter {name} gets no gradient; make it a buffer or use it"
            assert gradient is not None, self.says(idle)
            assert gradient.any(), self.says(idle)
            assert gradient.isfinite().all(), self.says(
                f"the gradient of {name} holds NaN or infinity"
            )

    def test_gradients_reach_every_real_token_and_no_padding(self, aggregator: Aggregator) -> None:
        """Every real slice can be learned from."""
        tokens = self.tokens(2, 5).requires_grad_()
        _functional(aggregator(tokens, self.mask())).backward()
        gradient = self.gradient(tokens)
        reached = gradient.abs().sum(dim=2) > 0
        assert reached[self.mask()].all(), self.says(
            "some real token gets no gradient, though it holds a feature's maximum"
        )
        assert not reached[~self.mask()].any(), self.says("padding gets a gradient; use the mask")

    @pytest.mark.parametrize("value", [0.0, 1.0, -2.0])
    def test_constant_tokens_have_finite_values_and_gradients(
        self, aggregator: Aggregator, value: float
    ) -> None:
        """Dead features and identical slices happen early in training."""
        tokens = torch.full((2, 5, self.num_features), value, requires_grad=True)
        embedding = aggregator(tokens, self.mask())
        _functional(embedding).backward()
        assert embedding.isfinite().all(), self.says(
            f"tokens that are all {value} give NaN or infinity"
        )
        self.gradient(tokens)

    def test_large_and_small_tokens_have_finite_values_and_gradients(
        self, aggregator: Aggregator
    ) -> None:
        """No exponential overflows, no root has an infinite slope."""
        for factor in (1e-8, 1e4):
            tokens = (factor * self.tokens(2, 5)).requires_grad_()
            embedding = aggregator(tokens, self.mask())
            _functional(embedding).backward()
            assert embedding.isfinite().all(), self.says(
                f"tokens about {factor} give NaN or infinity"
            )
            self.gradient(tokens)

    def test_the_same_tokens_give_the_same_result_twice(self, aggregator: Aggregator) -> None:
        """No randomness, and no state, in use."""
        first, second = (aggregator(self.tokens(2, 5), self.mask()) for _ in range(2))
        assert torch.equal(first, second), self.says("in eval mode two calls differ")

    def test_a_state_dict_restores_the_result(self, aggregator: Aggregator) -> None:
        """Whatever was learned is in the state dict."""
        with torch.no_grad():
            for parameter in aggregator.parameters():
                parameter.add_(0.1)
        other = self.build(seed=2)
        other.load_state_dict(aggregator.state_dict())
        first, second = (a(self.tokens(2, 5), self.mask()) for a in (aggregator, other))
        assert torch.equal(first, second), self.says(
            "a loaded copy differs; register parameters and buffers"
        )

    def test_bfloat16_autocast_changes_little(self, aggregator: Aggregator) -> None:
        """Mixed precision costs rounding, not the result."""
        tokens = self.tokens(2, 5).bfloat16().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            embedding = aggregator(tokens, self.mask())
            _functional(embedding).backward()
        full = aggregator(tokens.detach().float(), self.mask())
        _assert_same(
            embedding.float(),
            full,
            self.says("autocast changes the result by more than bfloat16 rounds"),
            relative=0.05,
        )
        self.gradient(tokens)

    def test_does_not_synchronise_with_the_host(self, aggregator: Aggregator) -> None:
        """On a GPU, whatever asks for a value waits until everything before is computed."""
        check_asks_for_no_values(
            aggregator, self.tokens(2, 5), self.mask(), who=f"aggregator {self.spec}"
        )

    def gradient(self, tokens: Tensor) -> Tensor:
        """What came back to the tokens, and is finite."""
        gradient = tokens.grad
        assert gradient is not None, self.says("no gradient comes back; do not detach")
        assert gradient.isfinite().all(), self.says(
            "the gradient holds NaN or infinity; no root, logarithm or quotient of 0 may occur"
        )
        return gradient


def _functional(embedding: Tensor) -> Tensor:
    """A number that depends on every feature, each in its own way."""
    weights = torch.randn(embedding.shape, generator=torch.Generator().manual_seed(7))
    return (embedding.float() * weights).sum()


def _assert_same(actual: Tensor, expected: Tensor, message: str, relative: float = 1e-5) -> None:
    for tensor in (actual, expected):
        what = "NaN" if tensor.isnan().any() else "infinity"
        assert tensor.isfinite().all(), f"{message.partition(': ')[0]}: gives {what}"
    absolute = relative * float(expected.detach().abs().max().clamp(min=0.1))
    assert_close(
        actual, expected, rtol=relative, atol=absolute, msg=lambda detail: f"{message}\n{detail}"
    )
