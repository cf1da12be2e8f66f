"""Contract of a loss: subclass ``LossContract`` and set ``spec``.

from volbench.testing import LossContract

class TestHinge(LossContract):
    spec = "hinge(margin=1)"

class TestHingeOfFourClasses(TestHinge):
    num_classes = 4
"""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from volbench.interfaces import Loss, Problem
from volbench.plugins.registry import losses
from volbench.testing.component import ComputingContract
from volbench.testing.values import check_asks_for_no_values
from volbench.types import Output


class LossContract(ComputingContract):
    """What every loss must do.

    Attributes:
        spec: The loss under test.
        num_classes: Classes of the problem; two classes have one logit, more have one each.
        num_features: Length of the embedding.

    >>> class TestOurs(LossContract):  # pytest collects its tests
    ...     spec = "focal"
    >>> any(name.startswith("test_") for name in dir(TestOurs))
    True
    """

    registry = losses
    num_classes: int = 2
    num_features: int = 8

    @pytest.fixture
    def loss(self) -> Loss:
        """The loss of ``spec``, as it is before training."""
        return self.build(seed=0)

    def build(self, *, seed: int) -> Loss:
        """Build ``spec`` with the parameters that follow from a seed."""
        torch.manual_seed(seed)
        counts = tuple(10 + 4 * k for k in range(self.num_classes))
        return losses.build(self.spec, Loss, Problem(counts, self.num_features))

    def inputs(self, device: str = "cpu") -> tuple[Tensor, ...]:
        """Logits, embeddings and labels of a batch."""
        output = self.output()
        leaves = output.logits.detach(), output.embedding.detach()
        return *(leaf.to(device) for leaf in leaves), self.labels().to(device)

    def compute(self, component: Loss, *inputs: Tensor) -> Tensor:
        """Score them."""
        logits, embedding, labels = inputs
        value: Tensor = component(Output(logits, embedding), labels)
        return value

    def output(self, items: int = 12, *, seed: int = 1) -> Output:
        """Draw logits and embeddings, as leaves of the graph."""
        generator = torch.Generator().manual_seed(seed)
        width = 1 if self.num_classes == 2 else self.num_classes
        logits = torch.randn(items, width, generator=generator)
        embedding = torch.randn(items, self.num_features, generator=generator)
        return Output(logits.requires_grad_(), embedding.requires_grad_())

    def labels(self, items: int = 12) -> Tensor:
        """Every class, in turn."""
        return torch.arange(items) % self.num_classes

    def test_is_a_finite_scalar_that_trains_something(self, loss: Loss) -> None:
        """The gradient reaches the logits or the embedding."""
        output = self.output()
        value = loss(output, self.labels())
        assert value.shape == (), self.says(
            f"returned {tuple(value.shape)}, not a scalar; average over items"
        )
        assert value.isfinite(), self.says(
            f"is {value.item()}; use logsigmoid, log_softmax or logsumexp, and divide by no 0"
        )
        self.backward(value, output)
        reached = [x.grad is not None and x.grad.any() for x in (output.logits, output.embedding)]
        assert any(reached), self.says("no gradient reaches the logits or the embedding")

    def test_gradients_reach_its_own_parameters(self, loss: Loss) -> None:
        """What a loss owns, the optimiser trains."""
        loss(self.output(), self.labels()).backward()
        for name, parameter in loss.named_parameters():
            gradient = parameter.grad
            idle = f"its parameter {name} gets no gradient; make it a buffer or use it"
            assert gradient is not None, self.says(idle)
            assert gradient.any(), self.says(idle)
            assert gradient.isfinite().all(), self.says(
                f"the gradient of {name} holds NaN or infinity"
            )

    def test_survives_a_batch_of_one_class(self, loss: Loss) -> None:
        """Small batches of a rare class happen."""
        for label in range(self.num_classes):
            self.check_finite(loss, self.output(), torch.full((12,), label))

    def test_survives_a_batch_of_one_case(self, loss: Loss) -> None:
        """So does a last batch of one."""
        self.check_finite(loss, self.output(1), self.labels(1))

    @pytest.mark.parametrize("factor", [0.0, 1e-8, 1e3])
    def test_survives_embeddings_of_any_length(self, loss: Loss, factor: float) -> None:
        """All zero, nearly zero, and large."""
        output = self.output()
        embedding = (factor * output.embedding.detach()).requires_grad_()
        self.check_finite(loss, Output(output.logits, embedding), self.labels())

    def test_survives_embeddings_that_are_all_alike(self, loss: Loss) -> None:
        """A collapsed embedding has no distances to divide by."""
        output = self.output()
        embedding = torch.ones_like(output.embedding, requires_grad=True)
        self.check_finite(loss, Output(output.logits, embedding), self.labels())

    @pytest.mark.parametrize("size", [30.0, 1e4])
    def test_survives_logits_that_are_sure(self, loss: Loss, size: float) -> None:
        """Sure and right, sure and wrong: neither a logarithm nor a power may overflow."""
        output = self.output()
        logits = (size * output.logits.detach().sign()).requires_grad_()
        self.check_finite(loss, Output(logits, output.embedding), self.labels())

    def test_the_order_of_the_batch_does_not_matter(self, loss: Loss) -> None:
        """A batch is a set of cases."""
        output, labels = self.output(), self.labels()
        order = torch.randperm(12, generator=torch.Generator().manual_seed(3))
        shuffled = Output(output.logits[order], output.embedding[order])
        assert_close(
            self.number(loss(shuffled, labels[order])),
            self.number(loss(output, labels)),
            msg=lambda detail: self.says(f"depends on the order of the batch\n{detail}"),
        )

    def test_takes_labels_of_any_width(self, loss: Loss) -> None:
        """Labels in 32 bits are as good as in 64."""
        output, labels = self.output(), self.labels()
        assert torch.equal(self.number(loss(output, labels.int())), loss(output, labels)), (
            self.says("int32 labels give another value")
        )

    def test_the_same_batch_gives_the_same_value_twice(self, loss: Loss) -> None:
        """No randomness, and no state that a batch changes."""
        first, second = (self.number(loss(self.output(), self.labels())) for _ in range(2))
        assert torch.equal(first, second), self.says("two calls differ")

    def test_a_state_dict_restores_the_value(self, loss: Loss) -> None:
        """Whatever was learned is in the state dict."""
        with torch.no_grad():
            for parameter in loss.parameters():
                parameter.add_(0.1)
        other = self.build(seed=2)
        other.load_state_dict(loss.state_dict())
        first, second = (self.number(x(self.output(), self.labels())) for x in (loss, other))
        assert torch.equal(first, second), self.says(
            "a loaded copy differs; register parameters and buffers"
        )

    def test_bfloat16_autocast_changes_little(self, loss: Loss) -> None:
        """Mixed precision costs rounding, not the value."""
        full = self.output()
        half = Output(
            *(x.detach().bfloat16().requires_grad_() for x in (full.logits, full.embedding))
        )
        rounded = Output(*(x.detach().float() for x in (half.logits, half.embedding)))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = loss(half, self.labels())
        assert_close(
            self.number(value.float()),
            loss(rounded, self.labels()),
            rtol=0.02,
            atol=0.01,
            msg=lambda detail: self.says(
                f"autocast changes it by more than bfloat16 rounds\n{detail}"
            ),
        )
        self.backward(value, half)

    def test_does_not_synchronise_with_the_host(self, loss: Loss) -> None:
        """On a GPU, whatever asks for a value waits until everything before is computed."""
        if loss.synchronises:
            pytest.skip("says that it does")
        output = self.output()
        check_asks_for_no_values(
            lambda logits, embedding, labels: loss(Output(logits, embedding), labels),
            output.logits,
            output.embedding,
            self.labels(),
            who=f"loss {self.spec}",
        )

    def check_finite(self, loss: Loss, output: Output, labels: Tensor) -> None:
        """Assert that value and gradients are finite."""
        value = loss(output, labels)
        assert value.isfinite(), self.says(
            f"is {value.item()}; use logsigmoid, log_softmax or logsumexp, and divide by no 0"
        )
        self.backward(value, output)

    def backward(self, value: Tensor, output: Output) -> None:
        """Go back, and assert that what arrives is finite."""
        assert value.requires_grad, self.says("has no gradient; do not detach")
        value.backward()
        for name, leaf in (("logits", output.logits), ("embedding", output.embedding)):
            assert leaf.grad is None or leaf.grad.isfinite().all(), self.says(
                f"its gradient with respect to the {name} holds NaN or infinity"
            )
