"""Losses and optimiser as the text of Lee et al. (2022) and as their released code has them."""

import numpy as np
import pytest
import torch
from released_formulas import (
    CENTER,
    FOCAL,
    TRIPLET,
    hard_triplets,
    semi_hard_triplets,
    sgd_step,
    sigmoid_focal,
    softmax_focal,
    squared_distances_to_centers,
    triplet_sum,
    unit_length,
)
from torch import nn

from volbench.experiment.recipe import Optimizer
from volbench.interfaces import Problem
from volbench.losses.weighted_sum import build_loss
from volbench.spec import parse_sum
from volbench.training.optimizer import build_optimizer
from volbench.types import Output

FEATURES = 6
LABELS = [0, 1, 0, 0, 1, 1, 0, 1]  # 4 + 4
PROBLEM = Problem(class_counts=(4, 4), num_features=FEATURES)
KINDS = pytest.mark.parametrize(
    ("kind", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-5)], ids=["double", "single"]
)


def draw(width, *, kind=np.float64, scale=1.0, seed=0):
    """Random numbers that ``kind`` can hold, in float64."""
    random = np.random.default_rng(seed)
    return (scale * random.normal(size=(len(LABELS), width))).astype(kind).astype(np.float64)


def score(text, logits=None, embedding=None, *, kind=np.float64, centers=None):
    """Value and gradients by logits, embedding and the loss's own parameters."""
    logits = np.zeros((len(LABELS), 1)) if logits is None else logits
    embedding = np.zeros((len(LABELS), FEATURES)) if embedding is None else embedding
    inputs = [torch.from_numpy(x.astype(kind)).requires_grad_() for x in (logits, embedding)]
    loss = build_loss(parse_sum(text), PROBLEM)
    loss.to(inputs[0].dtype)
    for parameter in loss.parameters():
        nn.init.zeros_(parameter) if centers is None else parameter.data.copy_(
            torch.from_numpy(centers)
        )
    inputs += loss.parameters()
    value = loss(Output(*inputs[:2]), torch.tensor(LABELS))
    slopes = torch.autograd.grad(value, inputs, allow_unused=True)
    return value.item(), *(None if s is None else s.double().numpy() for s in slopes)


def assert_close(ours, expected, tolerance):
    __tracebackhide__ = True
    assert np.abs(expected).max() > 0
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(ours, expected, rtol=0, atol=tolerance * scale)


@KINDS
def test_the_released_focal_loss_is_ours_summed(kind, tolerance):
    z = draw(1, kind=kind, scale=2.0)
    value, slope, *_ = score(FOCAL, z, kind=kind)
    expected, gradient = sigmoid_focal(z[:, 0], LABELS)
    assert_close(value, expected, tolerance)
    assert_close(slope[:, 0], gradient, tolerance)


@KINDS
def test_the_softmax_focal_loss_of_the_text_is_ours_on_two_logits(kind, tolerance):
    z = draw(2, kind=kind, scale=2.0)
    value, slope, *_ = score(FOCAL, z, kind=kind)
    expected, gradient = softmax_focal(z, LABELS)
    assert_close(value, expected, tolerance)
    assert_close(slope, gradient, tolerance)


def test_softmax_on_two_logits_is_a_sigmoid_on_their_difference():
    z = draw(2, scale=2.0)
    both, by_two = softmax_focal(z, LABELS)
    one, by_one = sigmoid_focal(z[:, 1] - z[:, 0], LABELS)
    assert both == pytest.approx(one, rel=1e-12)
    np.testing.assert_allclose(by_two, np.stack([-by_one, by_one], axis=1), atol=1e-12)
    difference = z[:, 1:] - z[:, :1]
    for text in (FOCAL, "focal"):
        pair, single = score(text, z), score(text, difference)
        assert pair[0] == pytest.approx(single[0], rel=1e-12)
        np.testing.assert_allclose(pair[1][:, 1], single[1][:, 0], atol=1e-12)
        np.testing.assert_allclose(pair[1][:, 0], -single[1][:, 0], atol=1e-12)


def test_the_mean_of_the_default_is_the_sum_divided_by_the_batch():
    z = draw(1, scale=2.0)
    value, slope, *_ = score("focal", z)
    expected, gradient = sigmoid_focal(z[:, 0], LABELS)
    assert value == pytest.approx(expected / 8)
    np.testing.assert_allclose(slope[:, 0], gradient / 8)


@KINDS
@pytest.mark.parametrize("apart", [0, 18], ids=["all hinges open", "some closed"])
def test_the_released_triplet_loss_is_ours_with_its_options(apart, kind, tolerance):
    x = draw(FEATURES, kind=np.float32, scale=3.0)
    x[:, 0] += apart * np.array(LABELS)
    value, _, slope = score(TRIPLET, embedding=x, kind=kind)
    triplets = list(hard_triplets(x, LABELS))
    expected, gradient = triplet_sum(x, triplets, 256)
    closed = [triplet_sum(x, [one], 256)[0] == 0 for one in triplets]
    assert len(triplets) == 8
    assert any(closed) == (apart > 0)
    assert not all(closed)
    assert_close(value, expected / 256, tolerance)
    assert_close(slope, gradient / 256, tolerance)


def test_on_embeddings_of_unit_length_the_released_hinge_never_closes():
    """Two points of the unit sphere are at most 4 apart: every anchor pays at least 252 of 256."""
    x, _ = unit_length(draw(FEATURES))
    assert score(TRIPLET, embedding=x)[0] > 8 * 252 / 256
    worst = np.zeros((8, FEATURES))
    worst[:, 0] = np.where(np.array(LABELS) == 1, 1.0, -1.0)  # classes as far apart as can be
    value, _, slope = score(TRIPLET, embedding=worst)
    assert value == 8 * 252 / 256
    assert slope.any(), "perfect classes are still pulled at"


@KINDS
def test_the_triplet_loss_of_the_text_is_the_default(kind, tolerance):
    """Unit length, margin 0.2, semi-hard; the mean over the triplets that FaceNet would form."""
    x = draw(FEATURES, kind=kind)
    value, _, slope = score("triplet", embedding=x, kind=kind)
    unit, pull = unit_length(x)
    triplets = list(semi_hard_triplets(unit, LABELS, 0.2))
    assert 1 < len(triplets) < 24
    expected, gradient = triplet_sum(unit, triplets, 0.2)
    assert_close(value, expected / len(triplets), tolerance)
    assert_close(slope, pull(gradient) / len(triplets), tolerance)


@KINDS
@pytest.mark.parametrize("at_start", [True, False], ids=["at zero", "moved"])
def test_the_released_center_loss_is_ours_at_twice_its_weight(at_start, kind, tolerance):
    x = draw(FEATURES, kind=kind)
    centers = None if at_start else draw(FEATURES, kind=kind, seed=1)[:2]
    value, _, by_x, by_centers = score(CENTER, embedding=x, centers=centers, kind=kind)
    there = np.zeros((2, FEATURES)) if at_start else centers
    expected, *gradients = squared_distances_to_centers(x, there, LABELS)
    assert_close(value, 0.003 * expected, tolerance)
    assert_close(by_x, 0.003 * gradients[0], tolerance)
    assert_close(by_centers, 0.003 * gradients[1], tolerance)


def test_the_center_loss_of_the_text_has_the_half():
    x, centers = draw(FEATURES), draw(FEATURES, seed=1)[:2]
    value, _, by_x, by_centers = score("center(reduction='sum')", embedding=x, centers=centers)
    expected, *gradients = squared_distances_to_centers(x, centers, LABELS)
    assert value == pytest.approx(expected / 2)
    np.testing.assert_allclose(by_x, gradients[0] / 2)
    np.testing.assert_allclose(by_centers, gradients[1] / 2)


def test_centers_start_at_zero():
    (centers,) = build_loss(parse_sum(CENTER), PROBLEM).parameters()
    assert centers.shape == (2, FEATURES)
    assert not centers.any()


@KINDS
@pytest.mark.parametrize("supplement", ["triplet", "center"])
def test_a_sum_of_losses_is_read_from_its_text(supplement, kind, tolerance):
    z, x = draw(1, kind=kind, seed=2), draw(FEATURES, kind=kind, scale=3.0)
    text = TRIPLET if supplement == "triplet" else CENTER
    value, by_z, by_x, *_ = score(f"{FOCAL}+{text}", z, x, kind=kind)
    focal, by_logit = sigmoid_focal(z[:, 0], LABELS)
    if supplement == "triplet":
        added, gradient = triplet_sum(x, hard_triplets(x, LABELS), 256)
        added, gradient = added / 256, gradient / 256
    else:
        added, gradient, _ = squared_distances_to_centers(x, np.zeros((2, FEATURES)), LABELS)
        added, gradient = 0.003 * added, 0.003 * gradient
    assert_close(value, focal + added, tolerance)
    assert_close(by_z[:, 0], by_logit, tolerance)
    assert_close(by_x, gradient, tolerance)


class Linear(nn.Module):
    """An embedding and a head, so that a step can be followed by hand."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(5, FEATURES)
        self.head = nn.Linear(FEATURES, 1)

    def forward(self, x):
        embedding = self.encoder(x)
        return Output(self.head(embedding), embedding)


def gradients_by_hand(values, x):
    embedding = x @ values["encoder.weight"].T + values["encoder.bias"]
    z = embedding @ values["head.weight"][0] + values["head.bias"]
    _, by_z = sigmoid_focal(z, LABELS)
    _, by_x, by_centers = squared_distances_to_centers(embedding, values["centers"], LABELS)
    by_embedding = by_z[:, None] * values["head.weight"] + 0.003 * by_x
    return {
        "encoder.weight": by_embedding.T @ x,
        "encoder.bias": by_embedding.sum(axis=0),
        "head.weight": (by_z @ embedding)[None],
        "head.bias": by_z.sum(keepdims=True),
        "centers": 0.003 * by_centers,
    }


@pytest.mark.parametrize("weight_decay", [0.01, 0.0])
def test_three_steps_of_sgd_are_those_of_the_recurrence(weight_decay):
    """v becomes 0.9 v + g + 0.01 w, then w loses 0.01 v: weights, biases and centers alike."""
    torch.manual_seed(0)
    model, criterion = Linear().double(), build_loss(parse_sum(f"{FOCAL}+{CENTER}"), PROBLEM)
    criterion.double()
    (centers,) = criterion.parameters()
    nn.init.normal_(centers)  # away from zero, where a decay would not show
    named = {**dict(model.named_parameters()), "centers": centers}
    values = {name: value.detach().numpy().copy() for name, value in named.items()}
    velocities = {name: np.zeros_like(value) for name, value in values.items()}
    options = {"lr": 0.01, "momentum": 0.9, "weight_decay": weight_decay}
    optimizer = build_optimizer(Optimizer(name="sgd", **options), model, criterion)
    start = {name: value.copy() for name, value in values.items()}
    for step in range(3):
        x = draw(5, seed=10 + step)
        optimizer.zero_grad(set_to_none=True)
        criterion(model(torch.from_numpy(x)), torch.tensor(LABELS)).backward()
        optimizer.step()
        sgd_step(values, gradients_by_hand(values, x), velocities, **options)
    for name, value in named.items():
        np.testing.assert_allclose(value.detach().numpy(), values[name], atol=1e-12, err_msg=name)
        assert np.abs(values[name] - start[name]).max() > 1e-4


def test_what_has_no_gradient_is_still_decayed():
    """A center whose class is not in the batch shrinks by 0.01 * 0.01 in the first step."""
    criterion = build_loss(parse_sum("center(reduction='sum')"), Problem((4, 4, 1), FEATURES))
    (centers,) = criterion.parameters()
    nn.init.ones_(centers)
    options = {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.01}
    optimizer = build_optimizer(Optimizer(name="sgd", **options), nn.Identity(), criterion)
    output = Output(torch.zeros(8, 3), torch.from_numpy(draw(FEATURES)).float())
    criterion(output, torch.tensor(LABELS)).backward()
    optimizer.step()
    np.testing.assert_allclose(centers.detach().numpy()[2], 1 - 0.01 * 0.01, rtol=1e-6)
