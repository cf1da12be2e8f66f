import pytest
import torch
from torch import nn

from volbench.interfaces import Loss
from volbench.plugins.registry import losses
from volbench.testing.losses import LossContract

VARIANTS = (
    "cross_entropy(class_weight='balanced', label_smoothing=0.1)",
    "focal(gamma=0)",
    "focal(gamma=0.5, reduction='sum')",
    "triplet(mining='hard')",
    "triplet(margin=256, mining='hard', normalize=False, reduction='sum')",
    "triplet(margin=1, normalize=False)",
    "center(reduction='sum')",
)


@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize("spec", [*losses, *VARIANTS])
class TestEveryLoss(LossContract):
    @pytest.fixture(autouse=True)
    def _problem(self, spec, num_classes):
        self.spec, self.num_classes = spec, num_classes

    def test_autocast_does_not_halve_its_precision(self, loss):
        output, labels = self.output(), self.labels()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = loss(output, labels)
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, loss(output, labels))


class Wrong(Loss):
    def __init__(self, problem):
        super().__init__()
        self.unused = nn.Parameter(torch.ones(()))


class NanForOneClass(Wrong):
    def forward(self, output, labels):
        z = output.logits[:, 0]
        return z[labels == 0].mean() - z[labels == 1].mean() + 0 * self.unused


class OverflowsWhenSure(Wrong):
    def forward(self, output, labels):
        return (output.logits.exp() * self.unused).mean().log()


@pytest.mark.parametrize(
    ("wrong", "test", "message"),
    [
        (NanForOneClass, "test_survives_a_batch_of_one_class", "is nan"),
        (NanForOneClass, "test_gradients_reach_its_own_parameters", "parameter unused gets no"),
        (NanForOneClass, "test_does_not_synchronise_with_the_host", "asks a tensor for its values"),
    ],
)
def test_the_contract_tells_what_is_wrong(wrong, test, message):
    contract = LossContract()
    contract.spec = "wrong"
    failures = (AssertionError, pytest.fail.Exception)
    with losses.adding(wrong=wrong), pytest.raises(failures, match=message):
        getattr(contract, test)(contract.build(seed=0))


def test_the_contract_catches_an_overflow():
    contract = LossContract()
    contract.spec = "wrong"
    with (
        losses.adding(wrong=OverflowsWhenSure),
        pytest.raises(AssertionError, match="loss wrong: is inf"),
    ):
        contract.test_survives_logits_that_are_sure(contract.build(seed=0), 1e4)
