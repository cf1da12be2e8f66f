import itertools

import numpy as np
import pytest
import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner, TripletMarginMiner
from pytorch_metric_learning.reducers import MeanReducer, SumReducer

from volbench.errors import SpecError
from volbench.interfaces import Loss, Problem
from volbench.losses.triplet import Triplet
from volbench.plugins.registry import losses
from volbench.types import Output

PROBLEM = Problem(class_counts=(8, 8), num_features=4)
BATCHES = {
    "balanced": [0, 1] * 6,
    "one alone": [0] * 11 + [1],
    "three classes": [0, 1, 2] * 4,
}


def draw(labels, *, seed=0, scale=1.0):
    generator = np.random.default_rng(seed)
    embedding = torch.from_numpy(scale * generator.normal(size=(len(labels), 4)))
    return embedding.requires_grad_(), torch.tensor(labels)


def compute(loss, embedding, labels):
    value = loss(Output(torch.zeros(len(labels), 1), embedding), labels)
    return value, torch.autograd.grad(value, embedding)[0]


def triplets_by_hand(x, labels, margin):
    """FaceNet's: per anchor and positive the nearest negative beyond it, within the margin."""
    for a, p in itertools.permutations(range(len(x)), 2):
        if labels[a] != labels[p]:
            continue
        positive = ((x[a] - x[p]) ** 2).sum()
        negatives = [
            (((x[a] - x[n]) ** 2).sum(), n) for n in range(len(x)) if labels[n] != labels[a]
        ]
        within = [(d, n) for d, n in negatives if positive < d < positive + margin]
        if within:
            yield a, p, min(within)[1]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("batch", BATCHES)
def test_semihard_has_value_and_gradient_of_the_triplets_mined_by_hand(batch, seed, reduction):
    labels = BATCHES[batch]
    embedding, targets = draw(labels, seed=seed)
    x, margin = embedding.detach().numpy(), 2.0
    triplets = list(triplets_by_hand(x, labels, margin))
    assert triplets
    divisor = len(triplets) if reduction == "mean" else 1
    value, gradient = 0.0, np.zeros_like(x)
    for a, p, n in triplets:
        value += (((x[a] - x[p]) ** 2).sum() - ((x[a] - x[n]) ** 2).sum() + margin) / divisor
        gradient[a] += 2 * (x[n] - x[p]) / divisor
        gradient[p] += 2 * (x[p] - x[a]) / divisor
        gradient[n] += 2 * (x[a] - x[n]) / divisor

    loss = Triplet(PROBLEM, margin=margin, normalize=False, reduction=reduction)
    result, slope = compute(loss, embedding, targets)
    assert result.item() == pytest.approx(value)
    np.testing.assert_allclose(slope.numpy(), gradient, atol=1e-12)


@pytest.mark.parametrize("batch", BATCHES)
def test_semihard_agrees_with_pytorch_metric_learning_on_unit_embeddings(batch):
    embedding, labels = draw(BATCHES[batch])
    distance = LpDistance(normalize_embeddings=True, power=2)
    miner = TripletMarginMiner(margin=0.5, type_of_triplets="semihard", distance=distance)
    every = torch.stack(miner(embedding, labels), dim=1)
    apart = distance(embedding)
    nearest = {}  # theirs are all semi-hard negatives; the nearest of each pair is ours
    for a, p, n in every.tolist():
        best = nearest.setdefault((a, p), n)
        if apart[a, n] < apart[a, best]:
            nearest[a, p] = n
    kept = torch.tensor([(a, p, n) for (a, p), n in nearest.items()])
    oracle = TripletMarginLoss(margin=0.5, distance=distance, reducer=MeanReducer())
    expected = oracle(embedding, labels, tuple(kept.T))
    slope = torch.autograd.grad(expected, embedding)[0]

    result = compute(Triplet(PROBLEM, margin=0.5), embedding, labels)
    assert len(kept) > 0
    torch.testing.assert_close(result, (expected, slope))


@pytest.mark.parametrize(("reduction", "reducer"), [("mean", MeanReducer), ("sum", SumReducer)])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("margin", [0.2, 256.0])
@pytest.mark.parametrize("batch", BATCHES)
def test_hard_agrees_with_pytorch_metric_learning(batch, margin, normalize, reduction, reducer):
    embedding, labels = draw(BATCHES[batch])
    distance = LpDistance(normalize_embeddings=normalize, power=2)
    oracle = TripletMarginLoss(margin=margin, distance=distance, reducer=reducer())
    expected = oracle(embedding, labels, BatchHardMiner(distance=distance)(embedding, labels))
    slope = torch.autograd.grad(expected, embedding)[0]
    loss = Triplet(PROBLEM, margin=margin, mining="hard", normalize=normalize, reduction=reduction)
    torch.testing.assert_close(compute(loss, embedding, labels), (expected, slope))


def test_hard_by_hand_on_a_line():
    # Anchors 0 and 1 are one apart; class 1 stands at 3 alone, so it is no anchor.
    embedding = torch.tensor([[0.0], [1.0], [3.0]], requires_grad=True)
    loss = Triplet(PROBLEM, margin=5.0, mining="hard", normalize=False, reduction="sum")
    value, slope = compute(loss, embedding, torch.tensor([0, 0, 1]))
    assert value.item() == (1 - 9 + 5 if 1 - 9 + 5 > 0 else 0) + (1 - 4 + 5)
    # Only anchor 1 is open: d/da = 2(n - p), d/dp = 2(p - a), d/dn = 2(a - n).
    assert slope.flatten().tolist() == [-2.0, 6.0, -4.0]


def test_semihard_skips_a_pair_whose_negatives_are_all_nearer_or_out_of_the_margin():
    loss = Triplet(PROBLEM, margin=1.0, normalize=False)
    labels = torch.tensor([0, 0, 1])
    for negative in (0.5, 9.0):
        embedding = torch.tensor([[0.0], [1.0], [negative]], requires_grad=True)
        value, slope = compute(loss, embedding, labels)
        assert value.item() == 0.0
        assert not slope.any()


@pytest.mark.parametrize("mining", ["semihard", "hard"])
def test_a_batch_of_one_class_gives_zero_and_a_zero_gradient(mining):
    embedding, labels = draw([1] * 6)
    value, slope = compute(Triplet(PROBLEM, mining=mining), embedding, labels)
    assert value.item() == 0.0
    assert slope.eq(0).all()


@pytest.mark.parametrize("mining", ["semihard", "hard"])
def test_a_batch_of_single_cases_gives_zero_and_a_zero_gradient(mining):
    embedding, labels = draw([0, 1, 2, 3])
    value, slope = compute(Triplet(PROBLEM, mining=mining), embedding, labels)
    assert value.item() == 0.0
    assert slope.eq(0).all()


def test_the_length_of_an_embedding_matters_only_without_normalisation():
    embedding, labels = draw(BATCHES["balanced"])
    longer = (embedding.detach() * torch.linspace(0.5, 3, 12)[:, None]).requires_grad_()
    for normalize in (True, False):
        loss = Triplet(PROBLEM, mining="hard", normalize=normalize)
        value, other = (compute(loss, x, labels)[0] for x in (embedding, longer))
        assert torch.isclose(value, other) == normalize


def test_distances_stay_right_when_all_embeddings_share_a_large_offset():
    # Squares of 1000 in float32 are exact to 0.06 only, the distances here are about 1.
    generator = np.random.default_rng(0)
    x = np.round(generator.normal(size=(12, 4)), 3) + 1000
    embedding = torch.from_numpy(x).float().requires_grad_()
    labels = torch.tensor(BATCHES["balanced"])
    loss = Triplet(PROBLEM, margin=2.0, mining="hard", normalize=False)
    value, slope = compute(loss, embedding, labels)
    precise = embedding.detach().double().requires_grad_()
    distance = LpDistance(normalize_embeddings=False, power=2)
    oracle = TripletMarginLoss(margin=2.0, distance=distance, reducer=MeanReducer())
    expected = oracle(precise, labels, BatchHardMiner(distance=distance)(precise, labels))
    torch.testing.assert_close(value.double(), expected, rtol=1e-4, atol=0.0)
    gradient = torch.autograd.grad(expected, precise)[0]
    torch.testing.assert_close(slope.double(), gradient, rtol=1e-3, atol=1e-3)


def test_one_step_of_training_separates_two_classes():
    for mining in ("semihard", "hard"):
        torch.manual_seed(0)
        embedding = torch.randn(16, 4, requires_grad=True)
        labels = torch.arange(16) % 2
        loss = Triplet(PROBLEM, mining=mining)
        optimiser = torch.optim.Adam([embedding], lr=0.05)
        for _ in range(200):
            optimiser.zero_grad()
            loss(Output(torch.zeros(16, 1), embedding), labels).backward()
            optimiser.step()
        unit = torch.nn.functional.normalize(embedding.detach(), dim=1)
        apart = torch.cdist(unit, unit).square()
        same = labels[:, None] == labels[None, :]
        assert apart[~same].mean() > apart[same].mean() + 0.2, mining


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("margin=0", "margin must be more than 0, but got margin=0"),
        ("mining='easy'", "mining must be 'semihard' or 'hard', but got mining='easy'"),
        ("reduction='none'", "reduction must be 'mean' or 'sum', but got reduction='none'"),
    ],
)
def test_options_out_of_range_are_refused(spec, message):
    with pytest.raises(SpecError) as caught:
        losses.build(f"triplet({spec})", Loss, PROBLEM)
    assert str(caught.value) == f"loss triplet({spec}): {message}"


def test_a_negative_at_the_edge_of_the_margin_forms_no_triplet():
    """By hand: (1 to 0), (2 to 3) and (3 to 2) form one; of (0 to 1) the negative is at 1 + 3."""
    loss = Triplet(Problem((2, 2), num_features=1), margin=3.0, normalize=False)
    embedding = torch.tensor([[0.0], [1.0], [2.0], [2.5]])
    output = Output(logits=torch.zeros(4, 1), embedding=embedding)
    found = loss(output, torch.tensor([1, 1, 0, 0]))
    assert found.item() == pytest.approx((1.75 + 2.25 + 1.0) / 3)
