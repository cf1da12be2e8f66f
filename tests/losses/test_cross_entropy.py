import numpy as np
import pytest
import scipy.special
import torch
import torch.nn.functional as F
from sklearn.utils.class_weight import compute_class_weight

from volbench.errors import SpecError
from volbench.interfaces import Loss, Problem
from volbench.losses.cross_entropy import CrossEntropy
from volbench.plugins.registry import losses
from volbench.types import Output

BINARY = Problem(class_counts=(30, 10), num_features=2)
TERNARY = Problem(class_counts=(30, 10, 20), num_features=2)


def output(logits):
    return Output(logits, torch.zeros(len(logits), 2))


def draw(width, items=9):
    generator = np.random.default_rng(0)
    logits = torch.from_numpy(generator.normal(scale=3.0, size=(items, width)))
    return logits.requires_grad_(), torch.arange(items) % max(width, 2)


def by_hand(logits, labels, *, smoothing=0.0, weights=(1.0, 1.0, 1.0)):
    """Value and gradient in float64: targets q, weights w on every class of the smoothed target."""
    z, y = logits.detach().numpy(), labels.numpy()
    classes = z.shape[1]
    target = (1 - smoothing) * np.eye(classes)[y] + smoothing / classes
    target = target * np.array(weights)[:classes]
    value = -(target * scipy.special.log_softmax(z, axis=1)).sum(axis=1).mean()
    p = scipy.special.softmax(z, axis=1)
    gradient = (target.sum(axis=1, keepdims=True) * p - target) / len(y)
    return torch.tensor(value), torch.from_numpy(gradient)


def check(loss, logits, labels, value, gradient):
    result = loss(output(logits), labels)
    torch.testing.assert_close(result, value)
    torch.testing.assert_close(torch.autograd.grad(result, logits)[0], gradient)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_k_classes_have_value_and_gradient_of_the_formula(smoothing):
    logits, labels = draw(3)
    expected = by_hand(logits, labels, smoothing=smoothing)
    check(CrossEntropy(TERNARY, label_smoothing=smoothing), logits, labels, *expected)


def test_one_logit_is_binary_cross_entropy():
    logits, labels = draw(1)
    z, y = logits.detach().numpy()[:, 0], labels.numpy()
    p = 1 / (1 + np.exp(-z))
    value = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    gradient = torch.from_numpy((p - y) / len(y))[:, None]
    check(CrossEntropy(BINARY), logits, labels, torch.tensor(value), gradient)


def test_one_logit_is_smoothed_towards_one_half():
    logits, labels = draw(1)
    target = labels.double() * 0.8 + 0.1
    expected = F.binary_cross_entropy_with_logits(logits[:, 0], target)
    gradient = torch.autograd.grad(expected, logits)[0]
    check(CrossEntropy(BINARY, label_smoothing=0.2), logits, labels, expected, gradient)


def test_balanced_weights_are_those_of_scikit_learn():
    labels = np.repeat(np.arange(3), TERNARY.class_counts)
    weights = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    logits, labels = draw(3)
    loss = CrossEntropy(TERNARY, class_weight="balanced")
    np.testing.assert_allclose(loss.weight.numpy(), weights, rtol=1e-6)
    value, gradient = by_hand(logits, labels, weights=loss.weight.double().numpy())
    check(loss, logits, labels, value, gradient)


def test_weights_can_be_given():
    logits, labels = draw(3)
    expected = by_hand(logits, labels, weights=(1.0, 4.0, 0.5))
    check(CrossEntropy(TERNARY, class_weight=(1.0, 4.0, 0.5)), logits, labels, *expected)


def test_a_weight_counts_in_a_batch_of_one_class_too():
    logits = torch.zeros(4, 3)
    loss = CrossEntropy(TERNARY, class_weight=(1, 4, 1))
    value = loss(output(logits), torch.ones(4, dtype=torch.long))
    torch.testing.assert_close(value, torch.tensor(4 * np.log(3.0)).float())


def test_large_logits_cost_their_size():
    loss = CrossEntropy(BINARY)
    value = loss(output(torch.tensor([[1e4], [-1e4]])), torch.tensor([0, 1]))
    assert value.item() == 1e4


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "label_smoothing=1",
            "label_smoothing must be from 0 to below 1, but got label_smoothing=1",
        ),
        (
            "class_weight='equal'",
            "class_weight must be 'balanced' or one number per class, but got class_weight='equal'",
        ),
        (
            "class_weight=(1, 2, 3)",
            "class_weight must hold one number for each of 2 classes, "
            "but got class_weight=(1, 2, 3)",
        ),
        (
            "class_weight=(-1, 2)",
            "class_weight must not be negative, but got class_weight=(-1, 2)",
        ),
    ],
)
def test_options_out_of_range_are_refused(spec, message):
    with pytest.raises(SpecError) as caught:
        losses.build(f"cross_entropy({spec})", Loss, BINARY)
    assert str(caught.value) == f"loss cross_entropy({spec}): {message}"


def test_a_class_without_cases_cannot_be_balanced():
    with pytest.raises(ValueError, match="class 1 has none"):
        CrossEntropy(Problem((3, 0), 2), class_weight="balanced")
