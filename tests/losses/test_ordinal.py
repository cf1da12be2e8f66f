import pytest
import torch

from volbench.errors import SpecError
from volbench.interfaces import Loss, Problem
from volbench.losses.auc_margin import AUCMargin
from volbench.losses.corn import Corn
from volbench.losses.logit_adjusted import LogitAdjusted
from volbench.losses.ordinal import from_conditional, to_conditional
from volbench.losses.soft_ordinal import SoftOrdinal
from volbench.losses.squared_emd import SquaredEMD
from volbench.plugins.registry import losses
from volbench.types import Output

GRADES = Problem((5, 9, 4, 2), 3, ordered=True)
LABELS = torch.tensor([0, 1, 1, 2, 3, 3, 0, 2, 1])


def _output(logits: torch.Tensor) -> Output:
    return Output(logits, torch.zeros(len(logits), 3))


def _logits(columns: int = 4) -> torch.Tensor:
    return torch.randn(len(LABELS), columns, generator=torch.Generator().manual_seed(2)) * 3


def test_corn_is_that_of_coral_pytorch() -> None:
    oracle = pytest.importorskip("coral_pytorch.losses")
    conditional = _logits(3).requires_grad_()
    ours = Corn(GRADES)(_output(from_conditional(conditional)), LABELS)
    theirs = oracle.corn_loss(conditional, LABELS, 4)
    torch.testing.assert_close(ours, theirs)
    (slope,) = torch.autograd.grad(ours, conditional, retain_graph=True)
    torch.testing.assert_close(slope, torch.autograd.grad(theirs, conditional)[0])


def test_probabilities_of_a_conditional_head_are_those_of_the_chain_rule() -> None:
    conditional = _logits(3).double()
    passed = conditional.sigmoid()
    by_hand = [1 - passed[:, 0], passed[:, 0] * (1 - passed[:, 1])]
    by_hand += [passed[:, :2].prod(1) * (1 - passed[:, 2]), passed.prod(1)]
    logits = from_conditional(conditional)
    torch.testing.assert_close(logits.softmax(dim=1), torch.stack(by_hand, dim=1))
    torch.testing.assert_close(to_conditional(logits), conditional)


def test_squared_emd_is_that_of_dlordinal() -> None:
    oracle = pytest.importorskip("dlordinal.losses")
    logits = _logits()
    theirs = oracle.EMDLoss(4)(logits, LABELS)
    torch.testing.assert_close(SquaredEMD(GRADES)(_output(logits), LABELS), theirs)


def test_soft_ordinal_labels_are_those_of_dlordinal() -> None:
    oracle = pytest.importorskip("dlordinal.losses")
    logits = _logits()
    theirs = oracle.SORDLoss(alpha=1.5, num_classes=4, train_targets=LABELS)(logits, LABELS)
    ours = SoftOrdinal(GRADES, alpha=1.5)(_output(logits), LABELS)
    torch.testing.assert_close(ours, theirs, check_dtype=False)


def test_a_sharp_soft_ordinal_target_is_cross_entropy() -> None:
    logits = _logits()
    ours = SoftOrdinal(GRADES, alpha=50, distance="squared")(_output(logits), LABELS)
    torch.testing.assert_close(ours, torch.nn.functional.cross_entropy(logits, LABELS))


@pytest.mark.parametrize(("distance", "steps"), [("absolute", 3.0), ("squared", 9.0)])
def test_a_soft_ordinal_target_falls_off_with_the_distance(distance: str, steps: float) -> None:
    share = SoftOrdinal(GRADES, alpha=0.5, distance=distance).targets[0]
    assert (share[0] / share[3]).log().item() == pytest.approx(0.5 * steps)


def test_a_far_miss_costs_more_than_a_near_one() -> None:
    near, far = torch.tensor([[0.0, 9, 0, 0]]), torch.tensor([[0.0, 0, 0, 9]])
    true = torch.tensor([0])
    for loss in (SquaredEMD(GRADES), SoftOrdinal(GRADES)):
        assert loss(_output(near), true) < loss(_output(far), true)


@pytest.mark.parametrize("name", ["corn", "soft_ordinal", "squared_emd"])
def test_classes_without_an_order_are_refused(name: str) -> None:
    with pytest.raises(SpecError, match="give it ordered=True"):
        losses.build(name, Loss, Problem((5, 5, 5), 3, ordered=False))
    losses.build(name, Loss, Problem((5, 5), 3, ordered=False))  # two are ordered anyhow


@pytest.mark.parametrize("tau", [0.0, 0.5, 2.0])
def test_logits_are_adjusted_as_strongly_as_tau_says(tau: float) -> None:
    logits = _logits()
    shares = torch.tensor(GRADES.class_counts) / sum(GRADES.class_counts)
    expected = torch.nn.functional.cross_entropy(logits + tau * shares.log(), LABELS)
    torch.testing.assert_close(LogitAdjusted(GRADES, tau=tau)(_output(logits), LABELS), expected)


def test_adjusted_logits_undo_the_class_frequencies() -> None:
    counts = torch.tensor(GRADES.class_counts).double()
    # A network that knows no more than the frequencies has all logits equal once they are added.
    logits = torch.zeros(20, 4, dtype=torch.double, requires_grad=True)
    labels = torch.arange(4).repeat_interleave(torch.tensor(GRADES.class_counts))
    value = LogitAdjusted(GRADES)(_output(logits), labels)
    entropy = -(counts / 20 * (counts / 20).log()).sum()
    assert value.item() == pytest.approx(entropy.item(), rel=1e-6)
    (slope,) = torch.autograd.grad(value, logits)
    torch.testing.assert_close(slope.sum(dim=0), torch.zeros(4).double(), atol=1e-7, rtol=0)


def test_the_auc_margin_is_the_saddle_point_of_the_paper() -> None:
    scores = torch.tensor([0.9, 0.8, 0.35, 0.4, 0.1, 0.6, 0.2], dtype=torch.double)
    labels = torch.tensor([1, 1, 1, 0, 0, 0, 0])
    share = 3 / 7
    positive, negative = scores[labels == 1], scores[labels == 0]

    def objective(alpha: torch.Tensor) -> torch.Tensor:  # equation 6, at the best a and b
        spread = (1 - share) * (positive - positive.mean()).square().sum() / 7
        spread = spread + share * (negative - negative.mean()).square().sum() / 7
        gap = share * negative.sum() / 7 - (1 - share) * positive.sum() / 7
        product = share * (1 - share)
        return spread + 2 * alpha * (product * 1.0 + gap) - product * alpha.square()

    best = objective(torch.linspace(0, 3, 300_001, dtype=torch.double)).max()
    best = best / (share * (1 - share))
    logits = torch.logit(scores)[:, None]
    ours = AUCMargin(Problem((4, 3), 3))(_output(logits), labels)
    assert ours.item() == pytest.approx(best.item(), rel=1e-6)


def test_the_auc_margin_of_separated_scores_is_their_spread_alone() -> None:
    loss = AUCMargin(Problem((2, 2), 3), margin=0.5)
    value = loss(_output(torch.tensor([[-9.0], [-9.0], [9.0], [9.0]])), torch.tensor([0, 0, 1, 1]))
    assert value.item() == pytest.approx(0, abs=1e-6)
