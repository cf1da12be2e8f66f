import pytest
import torch

from volbench.errors import SpecError, UnknownComponentError
from volbench.interfaces import Loss, Problem
from volbench.losses.weighted_sum import WeightedSum, build_loss
from volbench.spec import parse_sum
from volbench.types import Output

PROBLEM = Problem(class_counts=(8, 8), num_features=4)


class LogitMean(Loss):
    def forward(self, output, labels):
        return output.logits.mean()


class EmbeddingSum(Loss):
    def forward(self, output, labels):
        return output.embedding.sum()


def test_value_and_gradients_are_the_weighted_sum_of_its_terms():
    logits = torch.tensor([[1.0], [3.0]], requires_grad=True)
    embedding = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    loss = WeightedSum((2.0, 0.5), (LogitMean(), EmbeddingSum()))
    value = loss(Output(logits, embedding), torch.tensor([0, 1]))
    value.backward()
    assert value.item() == 2 * 2 + 0.5 * 10
    assert logits.grad.flatten().tolist() == [1.0, 1.0]
    assert embedding.grad.flatten().tolist() == [0.5] * 4


def test_a_spec_builds_its_losses_with_their_weights_and_options():
    loss = build_loss(parse_sum("focal(gamma=1)+0.5*triplet(mining='hard')+0.003*center"), PROBLEM)
    assert loss.weights == (1, 0.5, 0.003)
    focal, triplet, center = loss.losses
    assert (focal.gamma, triplet.mining, tuple(center.centers.shape)) == (1, "hard", (2, 4))


def test_a_single_loss_is_worth_its_weight():
    output = Output(torch.tensor([[0.0]]), torch.zeros(1, 4))
    for text, expected in (("cross_entropy", 0.693147), ("3*cross_entropy", 2.079442)):
        value = build_loss(parse_sum(text), PROBLEM)(output, torch.tensor([1]))
        assert value.item() == pytest.approx(expected, abs=1e-6)


def test_the_parameters_of_its_terms_are_its_own():
    loss = build_loss(parse_sum("focal+2*center"), PROBLEM)
    assert [name for name, _ in loss.named_parameters()] == ["losses.1.centers"]
    output = Output(torch.zeros(1, 1), torch.ones(1, 4))
    loss(output, torch.tensor([1])).backward()
    assert loss.losses[1].centers.grad.tolist() == [[0.0] * 4, [-2.0] * 4]


def test_the_released_triplet_of_the_paper_can_be_written_down():
    # Batch-hard, squared distances, margin 256, summed and divided by the margin.
    loss = build_loss(
        parse_sum(
            "0.00390625*triplet(margin=256, mining='hard', normalize=False, reduction='sum')"
        ),
        PROBLEM,
    )
    embedding = torch.tensor([[0.0] * 4, [1.0] + [0.0] * 3, [3.0] + [0.0] * 3, [3.0] + [0.0] * 3])
    value = loss(Output(torch.zeros(4, 1), embedding), torch.tensor([0, 0, 1, 1]))
    expected = ((256 + 1 - 9) + (256 + 1 - 4) + 2 * (256 + 0 - 4)) / 256
    assert value.item() == pytest.approx(expected)


def test_a_mistyped_loss_is_answered_with_the_nearest_name():
    with pytest.raises(
        UnknownComponentError, match=r"Unknown loss 'focl'\. Did you mean 'focal'\?"
    ):
        build_loss(parse_sum("cross_entropy+focl"), PROBLEM)


def test_a_mistyped_option_is_answered_with_the_signature():
    with pytest.raises(SpecError, match=r"unexpected keyword argument 'gama'.*gamma: float = 2.0"):
        build_loss(parse_sum("focal(gama=2)"), PROBLEM)


@pytest.mark.parametrize(("weights", "terms"), [((), ()), ((1.0,), (LogitMean(), LogitMean()))])
def test_weights_and_losses_must_pair_up(weights, terms):
    with pytest.raises(ValueError, match="one weight for each of at least one loss"):
        WeightedSum(weights, terms)


def test_each_term_is_kept_account_of_and_forgotten_once_told():
    output = Output(torch.tensor([[0.3], [-0.4]]), torch.tensor([[1.0], [2.0]]))
    labels = torch.tensor([0, 1])
    both = build_loss(parse_sum("focal+0.5*center"), Problem((3, 3), num_features=1))
    focal, center = (float(loss(output, labels).detach()) for loss in both.losses)
    for _ in range(2):
        both(output, labels)
    with torch.no_grad():
        both(output, labels)
    assert both.take_means() == pytest.approx({"focal": focal, "center": 0.5 * center})
    assert both.take_means() == {"focal": 0.0, "center": 0.0}
    assert not {"totals", "count"} & both.state_dict().keys(), "checkpoints stay as they were"
