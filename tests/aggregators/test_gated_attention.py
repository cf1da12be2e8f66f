import numpy as np
import pytest
import torch

from tests.aggregators.bags import by_case, draw, pooled, sigmoid, softmax, values
from volbench.aggregators.gated_attention import GatedAttention
from volbench.report.attribution import WeighsSlices


def weights_by_hand(case, aggregator):
    """Equations 8 and 9 of Ilse et al., one instance after the other."""
    own = values(aggregator)
    scores = []
    for token in case:
        found = np.tanh(own["content.weight"] @ token + own["content.bias"])
        if "gate.weight" in own:
            found *= sigmoid(own["gate.weight"] @ token + own["gate.bias"])
        scores.append(own["score.weight"][0] @ found)
    return softmax(np.array(scores))


@pytest.mark.parametrize("gate", [True, False])
def test_values_are_those_of_the_equations(gate):
    tokens, mask = draw()
    aggregator = GatedAttention(6, hidden=9, gate=gate)
    expected = by_case(lambda case: weights_by_hand(case, aggregator) @ case, tokens, mask)
    np.testing.assert_allclose(pooled(aggregator, tokens, mask), expected, rtol=1e-9)


def test_the_gate_changes_the_result():
    tokens, mask = draw()
    gated = GatedAttention(6)
    plain = GatedAttention(6, gate=False)
    plain.load_state_dict(gated.state_dict(), strict=False)
    assert np.abs(pooled(gated, tokens, mask) - pooled(plain, tokens, mask)).max() > 1e-3


def test_slice_weights_are_those_of_the_equations_and_zero_for_padding():
    tokens, mask = draw()
    aggregator = GatedAttention(6).double()
    assert isinstance(aggregator, WeighsSlices)
    weights = aggregator.slice_weights(torch.from_numpy(tokens), torch.from_numpy(mask))
    for case, real, found in zip(tokens, mask, weights.detach().numpy(), strict=True):
        np.testing.assert_allclose(found[real], weights_by_hand(case[real], aggregator))
        assert not found[~real].any()


def test_slice_weights_are_not_rounded_under_autocast():
    tokens, mask = (torch.from_numpy(array) for array in draw())
    aggregator = GatedAttention(6)
    exact = aggregator.slice_weights(tokens.float(), mask)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(aggregator.slice_weights(tokens.float(), mask), exact)


@pytest.mark.parametrize(("gate", "matrices"), [(True, 2), (False, 1)])
def test_it_has_the_parameters_of_the_paper_and_two_biases(gate, matrices):
    count = sum(p.numel() for p in GatedAttention(500, gate=gate).parameters())
    assert count == matrices * (128 * 500 + 128) + 128
