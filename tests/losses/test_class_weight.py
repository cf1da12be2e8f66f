"""Weights of classes: one mechanism in every loss that scores items one by one."""

import pytest
import torch

from volbench.interfaces import Loss, Problem
from volbench.plugins.registry import losses
from volbench.types import Output

PROBLEM = Problem((10, 20, 70), num_features=1, ordered=True)
WEIGHED = ["cross_entropy", "focal", "soft_ordinal", "squared_emd", "corn"]


def score(spec, logits, labels):
    loss = losses.build(spec, Loss, PROBLEM)
    return loss(Output(logits, torch.zeros(len(logits), 1)), labels)


@pytest.mark.parametrize("name", WEIGHED)
def test_each_item_counts_by_the_weight_of_its_class(name):
    torch.manual_seed(0)
    logits, labels = torch.randn(30, 3), torch.arange(30) % 3
    plain = score(name, logits, labels)
    assert score(f"{name}(class_weight=(1, 1, 1))", logits, labels) == plain
    parts = [score(name, logits[labels == k], labels[labels == k]) for k in range(3)]
    # Of CORN, the thresholds that an item of a class reaches: it is averaged over those.
    shares = torch.tensor([1.0, 2.0, 2.0] if name == "corn" else [1.0, 1.0, 1.0])
    weights = torch.tensor([4.0, 0.5, 2.0])
    expected = (torch.stack(parts) * shares * weights).sum() / shares.sum()
    found = score(f"{name}(class_weight=(4, 0.5, 2))", logits, labels)
    torch.testing.assert_close(found, expected)
    assert found != plain


@pytest.mark.parametrize("name", WEIGHED)
def test_balanced_weights_follow_from_the_training_part(name):
    torch.manual_seed(0)
    logits, labels = torch.randn(6, 3), torch.arange(6) % 3
    given = f"{name}(class_weight=({100 / 30}, {100 / 60}, {100 / 210}))"
    balanced = score(f"{name}(class_weight='balanced')", logits, labels)
    torch.testing.assert_close(balanced, score(given, logits, labels))


@pytest.mark.parametrize("name", WEIGHED)
def test_weights_that_do_not_fit_are_refused_by_name(name):
    with pytest.raises(Exception, match="class_weight must hold one number for each of 3 classes"):
        losses.build(f"{name}(class_weight=(1, 2))", Loss, PROBLEM)
