import numpy as np
import pytest
import torch
from scipy.special import erf

from tests.aggregators.bags import by_case, draw, pooled, softmax, values
from volbench.aggregators.transformer import Transformer
from volbench.report.attribution import WeighsSlices


def linear(x, own, name):
    return x @ own[f"{name}.weight"].T + own[f"{name}.bias"]


def normalised(x, own, name):
    centred = x - x.mean(axis=-1, keepdims=True)
    scale = np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
    return centred / scale * own[f"{name}.weight"] + own[f"{name}.bias"]


def block_by_hand(x, own, name, heads):
    """Multi-head attention and the feed-forward layer, head after head; also the attention."""
    seen = normalised(x, own, f"{name}.attention_norm")
    packed = seen @ own[f"{name}.attention.in_proj_weight"].T
    queries, keys, answers = np.split(packed + own[f"{name}.attention.in_proj_bias"], 3, axis=1)
    found, attention = [], []
    for q, k, v in zip(
        *(np.split(y, heads, axis=1) for y in (queries, keys, answers)), strict=True
    ):
        weights = softmax(q @ k.T / np.sqrt(q.shape[1]))
        attention.append(weights)
        found.append(weights @ v)
    x = x + linear(np.concatenate(found, axis=1), own, f"{name}.attention.out_proj")
    inner = linear(normalised(x, own, f"{name}.layer_norm"), own, f"{name}.layer.0")
    gelu = inner * (1 + erf(inner / np.sqrt(2))) / 2
    return x + linear(gelu, own, f"{name}.layer.3"), np.mean(attention, axis=0)


def by_hand(case, aggregator, *, heads):
    """One case through the whole network: the result, and the last block's attention."""
    own = values(aggregator)
    x = linear(case, own, "project")
    if aggregator.positions is not None:
        x = x + aggregator.positions(torch.ones(1, len(case), dtype=torch.bool))[0].detach().numpy()
    if "class_token" in own:
        x = np.concatenate([own["class_token"][None], x])
    for number in range(len(aggregator.blocks)):
        x, attention = block_by_hand(x, own, f"blocks.{number}", heads)
    x = normalised(x, own, "norm")
    return (x[0] if "class_token" in own else x.mean(axis=0)), attention


def build(**options):
    torch.manual_seed(0)
    aggregator = Transformer(6, width=8, heads=2, **options).double()
    with torch.no_grad():
        for parameter in aggregator.parameters():  # off the zeros and ones that some begin with
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return aggregator.eval()


@pytest.mark.parametrize("pool", ["class", "mean"])
@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "none"])
def test_values_are_those_of_the_equations(pool, positions):
    tokens, mask = draw()
    aggregator = build(layers=2, pool=pool, positions=positions)
    expected = by_case(lambda case: by_hand(case, aggregator, heads=2)[0], tokens, mask)
    np.testing.assert_allclose(pooled(aggregator, tokens, mask), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("pool", ["class", "mean"])
def test_slice_weights_are_the_attention_of_the_last_block(pool):
    tokens, mask = draw()
    aggregator = build(pool=pool)
    assert isinstance(aggregator, WeighsSlices)
    weights = aggregator.slice_weights(torch.from_numpy(tokens), torch.from_numpy(mask))
    for case, real, found in zip(tokens, mask, weights.detach().numpy(), strict=True):
        _, attention = by_hand(case[real], aggregator, heads=2)
        expected = attention.mean(axis=0)
        if pool == "class":
            expected = attention[0, 1:] / attention[0, 1:].sum()
        np.testing.assert_allclose(found[real], expected, rtol=1e-6)
        assert found.sum() == pytest.approx(1)
        assert not found[~real].any()


@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "none"])
def test_the_order_of_slices_matters_only_with_positions(positions):
    tokens, mask = draw(lengths=(5,))
    aggregator = build(positions=positions)
    turned = pooled(aggregator, tokens[:, ::-1].copy(), mask)
    difference = np.abs(pooled(aggregator, tokens, mask) - turned).max()
    assert difference < 1e-12 if positions == "none" else difference > 1e-3


def test_dropout_is_for_training_only():
    tokens = torch.randn(2, 4, 6)
    aggregator = Transformer(6, dropout=0.5)
    assert not torch.equal(aggregator(tokens), aggregator(tokens))
    aggregator.eval()
    assert torch.equal(aggregator(tokens), aggregator(tokens))
