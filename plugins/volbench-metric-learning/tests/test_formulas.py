"""The equations of the papers, written out in NumPy in double precision."""

import numpy as np
import pytest
import torch
from batches import batch, build, score


def cosines(embedding):
    x = embedding.numpy()
    x = x / np.sqrt((x**2).sum(axis=1, keepdims=True))
    return x @ x.T


@pytest.mark.parametrize("temperature", [0.07, 0.1, 1.0])
def test_supcon_is_the_second_equation_of_khosla_et_al(temperature):
    embedding, labels = batch()
    s, y = cosines(embedding) / temperature, labels.numpy()
    losses = []
    for i in range(len(y)):
        others = [k for k in range(len(y)) if k != i]
        positives = [p for p in others if y[p] == y[i]]
        denominator = np.log(sum(np.exp(s[i, k]) for k in others))
        losses.append(-np.mean([s[i, p] - denominator for p in positives]))
    value = score(build(f"supcon(temperature={temperature})"), embedding, labels)
    assert value.item() == pytest.approx(np.mean(losses), rel=1e-6)


def test_supcon_leaves_out_who_has_no_positive():
    embedding, labels = batch(10)  # the last class has one case
    s, y = cosines(embedding) / 0.1, labels.numpy()
    losses = []
    for i in range(9):
        others = [k for k in range(10) if k != i]
        denominator = np.log(sum(np.exp(s[i, k]) for k in others))
        losses.append(-np.mean([s[i, p] - denominator for p in others if y[p] == y[i]]))
    assert score(build("supcon"), embedding, labels).item() == pytest.approx(np.mean(losses))


@pytest.mark.parametrize(("alpha", "beta", "base"), [(2, 50, 0.5), (1, 10, 0.2)])
def test_multi_similarity_is_the_equation_of_wang_et_al(alpha, beta, base):
    embedding, labels = batch()
    s, y = cosines(embedding), labels.numpy()
    losses = []
    for i in range(len(y)):
        positives = [k for k in range(len(y)) if k != i and y[k] == y[i]]
        negatives = [k for k in range(len(y)) if y[k] != y[i]]
        pull = np.log1p(sum(np.exp(-alpha * (s[i, k] - base)) for k in positives)) / alpha
        push = np.log1p(sum(np.exp(beta * (s[i, k] - base)) for k in negatives)) / beta
        losses.append(pull + push)
    loss = build(f"multi_similarity(alpha={alpha}, beta={beta}, base={base})")
    assert score(loss, embedding, labels).item() == pytest.approx(np.mean(losses), rel=1e-6)


def test_the_multi_similarity_miner_keeps_the_pairs_of_the_paper():
    embedding, labels = batch()
    s, y = cosines(embedding), labels.numpy()
    losses = []
    for i in range(len(y)):
        positives = [k for k in range(len(y)) if k != i and y[k] == y[i]]
        negatives = [k for k in range(len(y)) if y[k] != y[i]]
        hardest_negative = max(s[i, k] for k in negatives)
        hardest_positive = min(s[i, k] for k in positives)
        kept = [k for k in positives if s[i, k] - 0.1 < hardest_negative]
        rejected = [k for k in negatives if s[i, k] + 0.1 > hardest_positive]
        pull = np.log1p(sum(np.exp(-2 * (s[i, k] - 0.5)) for k in kept)) / 2
        push = np.log1p(sum(np.exp(50 * (s[i, k] - 0.5)) for k in rejected)) / 50
        losses.append(pull + push)
    loss = build("multi_similarity(miner=multi_similarity(epsilon=0.1))")
    assert score(loss, embedding, labels).item() == pytest.approx(np.mean(losses), rel=1e-6)


def test_arcface_is_softmax_over_cosines_with_the_true_angle_widened():
    embedding, labels = batch()
    loss = build("arcface(margin_degrees=20, scale=16)")
    value = score(loss, embedding, labels).item()
    centers = loss.loss.W.detach().double().numpy()
    x = embedding.numpy()
    cosine = (x / np.linalg.norm(x, axis=1, keepdims=True)) @ (
        centers / np.linalg.norm(centers, axis=0)
    )
    rows, margin = np.arange(len(x)), np.radians(20)
    angle = np.arccos(cosine[rows, labels])
    assert (angle < np.pi - margin).all()  # else another branch of the loss would be on trial
    logits = 16 * cosine
    logits[rows, labels] = 16 * np.cos(angle + margin)
    expected = np.log(np.exp(logits).sum(axis=1)) - logits[rows, labels]
    assert value == pytest.approx(expected.mean(), rel=1e-6)


def test_the_length_of_an_embedding_does_not_matter():
    embedding, labels = batch()
    stretched = embedding * torch.linspace(0.5, 20, 11, dtype=torch.float64)[:, None]
    for spec in ("supcon", "multi_similarity", "circle", "contrastive", "ntxent", "arcface"):
        loss = build(spec)
        torch.testing.assert_close(
            score(loss, stretched, labels), score(loss, embedding, labels), rtol=1e-6, atol=1e-9
        )
