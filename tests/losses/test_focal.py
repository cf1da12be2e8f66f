import math

import numpy as np
import pytest
import scipy.special
import torch
from torchvision.ops import sigmoid_focal_loss

from volbench.errors import SpecError
from volbench.interfaces import Loss, Problem
from volbench.losses.cross_entropy import CrossEntropy
from volbench.losses.focal import Focal
from volbench.plugins.registry import losses
from volbench.types import Output

BINARY = Problem(class_counts=(30, 10), num_features=2)
TERNARY = Problem(class_counts=(30, 10, 20), num_features=2)


def output(logits):
    return Output(logits, torch.zeros(len(logits), 2))


def draw(width, items=9):
    generator = np.random.default_rng(0)
    logits = torch.from_numpy(generator.normal(scale=2.0, size=(items, width)))
    return logits.requires_grad_(), torch.arange(items) % max(width, 2)


def check(loss, logits, labels, value, gradient):
    result = loss(output(logits), labels)
    torch.testing.assert_close(result, value)
    torch.testing.assert_close(torch.autograd.grad(result, logits)[0], gradient)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("alpha", [None, 0.25, 1.0])
@pytest.mark.parametrize("gamma", [0, 0.5, 2.0, 5])
def test_one_logit_agrees_with_torchvision(gamma, alpha, reduction):
    logits, labels = draw(1)
    expected = sigmoid_focal_loss(
        logits[:, 0],
        labels.double(),
        alpha=-1 if alpha is None else alpha,
        gamma=gamma,
        reduction=reduction,
    )
    gradient = torch.autograd.grad(expected, logits)[0]
    loss = Focal(BINARY, gamma=gamma, alpha=alpha, reduction=reduction)
    check(loss, logits, labels, expected, gradient)


@pytest.mark.parametrize("alpha", [None, (0.5, 2.0, 1.0)])
@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_k_classes_have_value_and_gradient_of_the_formula(gamma, alpha):
    logits, labels = draw(3)
    every = scipy.special.softmax(logits.detach().numpy(), axis=1)
    p = every[np.arange(9), labels.numpy()]
    weight = np.ones(9) if alpha is None else np.array(alpha)[labels.numpy()]
    value = (-weight * (1 - p) ** gamma * np.log(p)).mean()
    by_p = gamma * (1 - p) ** (gamma - 1) * np.log(p) - (1 - p) ** gamma / p
    p_by_logit = p[:, None] * (np.eye(3)[labels.numpy()] - every)
    gradient = torch.from_numpy((weight * by_p)[:, None] * p_by_logit / 9)
    loss = Focal(TERNARY, gamma=gamma, alpha=alpha)
    check(loss, logits, labels, torch.tensor(value), gradient)


def test_gamma_zero_is_cross_entropy():
    for problem, width in ((BINARY, 1), (TERNARY, 3)):
        logits, labels = draw(width)
        expected = CrossEntropy(problem)(output(logits), labels)
        gradient = torch.autograd.grad(expected, logits)[0]
        check(Focal(problem, gamma=0), logits, labels, expected, gradient)


def test_two_weights_are_the_same_as_one_alpha():
    logits, labels = draw(1)
    one, two = Focal(BINARY, alpha=0.2), Focal(BINARY, alpha=(0.8, 0.2))
    torch.testing.assert_close(one(output(logits), labels), two(output(logits), labels))


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_a_sure_and_right_prediction_keeps_value_and_gradient(gamma, width):
    # At a margin of 20, 1 - p is exp(-20): float32 holds it, but not as 1 minus p. There
    # (1 - p)^gamma * -log p is exp(-20 (gamma + 1)), whose slope is -(gamma + 1) times itself.
    logits = torch.zeros(1, width)
    logits[0, -1] = 20.0 + (math.log(2) if width == 3 else 0.0)
    logits.requires_grad_()
    problem = TERNARY if width == 3 else BINARY
    value = Focal(problem, gamma=gamma)(output(logits), torch.tensor([max(width, 2) - 1]))
    value.backward()
    expected = math.exp(-20 * (gamma + 1))
    assert value.item() == pytest.approx(expected, rel=1e-4)
    assert logits.grad[0, -1].item() == pytest.approx(-(gamma + 1) * expected, rel=1e-4)


@pytest.mark.parametrize("gamma", [0.25, 1, 2])
def test_a_sure_and_wrong_prediction_costs_its_margin(gamma):
    logits = torch.tensor([[1e4], [-1e4]], requires_grad=True)
    value = Focal(BINARY, gamma=gamma)(output(logits), torch.tensor([0, 1]))
    value.backward()
    assert value.item() == 1e4
    assert logits.grad.flatten().tolist() == [0.5, -0.5]


@pytest.mark.parametrize("gamma", [0.25, 0.5, 1, 2])
def test_nothing_is_nan_where_the_probability_is_one(gamma):
    logits = torch.tensor([[1e4], [-1e4]], requires_grad=True)
    value = Focal(BINARY, gamma=gamma)(output(logits), torch.tensor([1, 0]))
    value.backward()
    assert value.item() == 0.0
    assert logits.grad.flatten().tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("gamma=-1", "gamma must not be negative, but got gamma=-1"),
        ("alpha=2", "alpha must be from 0 to 1, but got alpha=2"),
        (
            "alpha=(1, 2, 3)",
            "alpha must hold one number for each of 2 classes, but got alpha=(1, 2, 3)",
        ),
        ("reduction='none'", "reduction must be 'mean' or 'sum', but got reduction='none'"),
    ],
)
def test_options_out_of_range_are_refused(spec, message):
    with pytest.raises(SpecError) as caught:
        losses.build(f"focal({spec})", Loss, BINARY)
    assert str(caught.value) == f"loss focal({spec}): {message}"


def test_one_alpha_cannot_weigh_three_classes():
    with pytest.raises(SpecError) as caught:
        losses.build("focal(alpha=0.5)", Loss, TERNARY)
    assert str(caught.value) == (
        "loss focal(alpha=0.5): alpha must hold one number for each of 3 classes, "
        "but got alpha=0.5, which suits two"
    )


def test_balanced_weights_come_from_the_training_cases_and_replace_alpha():
    problem = Problem((60, 20, 40), num_features=1)
    loss = Focal(problem, class_weight="balanced")
    assert loss.alpha.tolist() == pytest.approx([120 / 180, 120 / 60, 120 / 120])
    with pytest.raises(ValueError, match="both weigh the classes; give one"):
        Focal(problem, class_weight="balanced", alpha=(1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="class 1 has none"):
        Focal(Problem((3, 0), num_features=1), class_weight="balanced")
