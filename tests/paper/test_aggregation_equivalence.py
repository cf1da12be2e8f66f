"""The four ways of pooling slices, and the head after them, against plain float64 NumPy."""

import numpy as np
import pytest
import torch
from released_formulas import (
    FOCAL,
    TRIPLET,
    attention,
    average,
    bilinear,
    hard_triplets,
    maximum,
    sigmoid_focal,
    triplet_sum,
)

from volbench.interfaces import Aggregator, Encoder, Problem
from volbench.losses.weighted_sum import build_loss
from volbench.plugins.registry import aggregators
from volbench.spec import parse_sum
from volbench.training.classifier import Classifier

SLICES = 7  # as many as the released code takes of every volume
KINDS = pytest.mark.parametrize(
    ("kind", "tolerance"), [(np.float64, 1e-9), (np.float32, 1e-5)], ids=["double", "single"]
)


def draw(cases=3, slices=SLICES, features=8, *, kind=np.float64, seed=0):
    """Tokens as the encoder leaves them: means of what a ReLU let through."""
    random = np.random.default_rng(seed)
    return random.uniform(0.05, 2.0, (cases, slices, features)).astype(kind).astype(np.float64)


def pool(text, tokens, upstream, *, kind=np.float64, mask=None):
    inputs = torch.from_numpy(tokens.astype(kind)).requires_grad_()
    built = aggregators.build(text, Aggregator, tokens.shape[-1])
    embedding = built(inputs, mask)
    (embedding * torch.from_numpy(upstream.astype(kind))).sum().backward()
    return embedding.detach().double().numpy(), inputs.grad.double().numpy()


def in_triangle(features):
    """Places of the lower triangle in the flat square, row after row."""
    return [row * features + column for row in range(features) for column in range(row + 1)]


def assert_close(ours, expected, tolerance):
    __tracebackhide__ = True
    assert np.abs(expected).max() > 0
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(ours, expected, rtol=0, atol=tolerance * scale)


@KINDS
@pytest.mark.parametrize(
    ("text", "formula"), [("average", average), ("max", maximum), ("attention", attention)]
)
def test_average_maximum_and_attention_are_those_of_plain_numpy(text, formula, kind, tolerance):
    tokens = draw(kind=kind)
    upstream = np.random.default_rng(1).normal(size=(3, 8))
    embedding, slope = pool(text, tokens, upstream, kind=kind)
    for case in range(3):
        expected, pull = formula(tokens[case])
        assert_close(embedding[case], expected, tolerance)
        assert_close(slope[case], pull(upstream[case]), tolerance)


@pytest.mark.parametrize(
    ("text", "formula"), [("average", average), ("max", maximum), ("attention", attention)]
)
def test_a_shorter_volume_is_pooled_as_if_it_were_alone(text, formula):
    tokens, lengths = draw(), (7, 3, 1)
    upstream = np.random.default_rng(1).normal(size=(3, 8))
    mask = np.arange(SLICES) < np.array(lengths)[:, None]
    tokens[~mask] = 1e3
    embedding, slope = pool(text, tokens, upstream, mask=torch.from_numpy(mask))
    for case, length in enumerate(lengths):
        expected, pull = formula(tokens[case, :length])
        assert_close(embedding[case], expected, 1e-9)
        assert_close(slope[case, :length], pull(upstream[case]), 1e-9)
        assert not slope[case, length:].any()


@KINDS
@pytest.mark.parametrize("signed", [False, True], ids=["as encoded", "either sign"])
def test_bilinear_is_the_triangle_of_the_released_square(signed, kind, tolerance):
    """The released vector has zeros above the diagonal; ours leaves those places out."""
    tokens = draw(kind=kind)
    if signed:
        tokens *= np.random.default_rng(2).choice([-1.0, 1.0], size=tokens.shape)
    upstream = np.random.default_rng(1).normal(size=(3, 8 * 9 // 2))
    embedding, slope = pool("bilinear", tokens, upstream, kind=kind)
    inside = in_triangle(8)
    outside = [place for place in range(64) if place not in inside]
    for case in range(3):
        expected, pull = bilinear(tokens[case])
        # Near a product of zero ours is a straight line; none of these is near.
        assert np.abs(expected[inside]).min() > 1e-3
        assert (expected[inside] < 0).any() == signed
        spread = np.zeros(64)
        spread[inside] = upstream[case]
        assert not expected[outside].any()
        assert_close(embedding[case], expected[inside], max(tolerance, 1e-8))
        assert_close(slope[case], pull(spread), max(tolerance, 1e-8))


def test_the_divisor_cancels():
    """By any divisor, and so by the number of slices, which is what ours divides by."""
    upstream = np.random.default_rng(1).normal(size=64)
    vector, pull = bilinear(draw()[0], divisor=7)
    for divisor in (1, 3, 1000):
        other, other_pull = bilinear(draw()[0], divisor=divisor)
        np.testing.assert_allclose(other, vector, atol=1e-14)
        np.testing.assert_allclose(other_pull(upstream), pull(upstream), atol=1e-13)
    tokens = draw(slices=3)
    upstream = np.random.default_rng(1).normal(size=(3, 36))
    embedding, slope = pool("bilinear", tokens, upstream)
    for case in range(3):  # ours divides by 3 here, the released code by 7 all the same
        expected, pull = bilinear(tokens[case], divisor=7)
        spread = np.zeros(64)
        spread[in_triangle(8)] = upstream[case]
        assert_close(embedding[case], expected[in_triangle(8)], 1e-8)
        assert_close(slope[case], pull(spread), 1e-8)


def test_a_head_on_32896_products_gives_the_logit_of_one_on_65536():
    tokens, features = draw(cases=2, features=256), 256
    head = np.random.default_rng(3).normal(size=(1, features**2))
    inside = in_triangle(features)
    assert len(inside) == 32896
    embedding, slope = pool("bilinear", tokens, np.repeat(head[:, inside], 2, axis=0))
    for case in range(2):
        vector, pull = bilinear(tokens[case])
        assert vector.shape == (65536,)
        assert_close(embedding[case] @ head[0, inside], vector @ head[0], 1e-7)
        assert_close(slope[case], pull(head[0]), 1e-7)
        # The other weights meet zeros only: no gradient reaches them, only their decay.
        assert np.count_nonzero(vector) == 32896


def test_the_whole_square_would_count_what_is_off_the_diagonal_twice():
    """Then the length differs, by one factor per case; the direction within the triangle stays."""
    tokens = draw()
    embedding, _ = pool("bilinear", tokens, np.ones((3, 36)))
    for case in range(3):
        product = tokens[case].T @ tokens[case]
        whole, _ = bilinear(tokens[case], triangle=False)
        factor = np.sqrt(np.tril(product).sum() / product.sum())
        assert factor < 1
        np.testing.assert_allclose(whole[in_triangle(8)], factor * embedding[case], atol=1e-8)


def test_without_the_square_root_it_is_the_plain_outer_product_of_the_text():
    """A large ``eps`` makes the root a straight line, whose slope unit length cancels."""
    tokens = draw()
    embedding, _ = pool("bilinear(eps=10000)", tokens, np.ones((3, 36)), kind=np.float32)
    for case in range(3):
        product = (tokens[case].T @ tokens[case]).ravel()[in_triangle(8)]
        assert_close(embedding[case], product / np.linalg.norm(product), 1e-6)


class Tokens(Encoder):
    """Passes one pixel per slice and channel on as its token."""

    def __init__(self, num_features):
        super().__init__()
        self.num_features = num_features

    def forward(self, volume, mask=None):
        return volume[..., 0, 0].transpose(1, 2)


@pytest.mark.parametrize("width", [256, 32896])
def test_the_head_starts_from_a_normal_of_one_hundredth_and_no_bias(width):
    torch.manual_seed(0)
    head = Classifier(Tokens(width), None, num_classes=2).head
    assert head.weight.shape == (1, width)
    weight = head.weight.detach().double().numpy()
    # Five standard errors of a deviation and of a mean.
    assert weight.std() == pytest.approx(0.01, rel=5 / np.sqrt(2 * width))
    assert abs(weight.mean()) < 5 * 0.01 / np.sqrt(width)
    assert (np.abs(weight) > 0.02).any()
    assert not head.bias.any()


def test_pooling_head_and_losses_of_table_4_give_the_released_value_and_gradients():
    """Four and four volumes: bilinear, a linear head, focal and batch-hard triplet, summed."""
    labels, features = [0, 1, 0, 0, 1, 1, 0, 1], 6
    tokens = draw(cases=8, features=features, seed=5)
    torch.manual_seed(0)
    aggregator = aggregators.build("bilinear", Aggregator, features)
    model = Classifier(Tokens(features), aggregator, num_classes=2).double()
    torch.nn.init.normal_(model.head.weight)
    torch.nn.init.normal_(model.head.bias)
    loss = build_loss(parse_sum(f"{FOCAL}+{TRIPLET}"), Problem((4, 4), aggregator.num_features))
    volume = torch.from_numpy(tokens.transpose(0, 2, 1)[..., None, None].copy()).requires_grad_()
    value = loss(model(volume), torch.tensor(labels))
    value.backward()

    inside = in_triangle(features)
    weight = np.zeros(features**2)
    weight[inside] = model.head.weight.detach().numpy()[0]
    vectors, pulls = zip(*map(bilinear, tokens), strict=True)
    vectors = np.stack(vectors)
    focal, by_logit = sigmoid_focal(vectors @ weight + model.head.bias.item(), labels)
    triplet, by_vector = triplet_sum(vectors, hard_triplets(vectors, labels), 256)
    by_vector = by_logit[:, None] * weight + by_vector / 256
    assert value.item() == pytest.approx(focal + triplet / 256, abs=1e-7)
    for case in range(8):
        ours = volume.grad[case, :, :, 0, 0].numpy().T
        assert_close(ours, pulls[case](by_vector[case]), 1e-6)
    assert_close(model.head.weight.grad.numpy()[0], (by_logit @ vectors)[inside], 1e-7)
    assert_close(model.head.bias.grad.numpy(), by_logit.sum(keepdims=True), 1e-7)
