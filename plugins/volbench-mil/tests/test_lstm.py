import numpy as np
import pytest
import torch
from bags import by_case, draw, pooled, sigmoid, values
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from volbench_mil.lstm import LSTM


def state_by_hand(case, own, direction):
    """The equations, one slice after the other; PyTorch's order of gates is i, f, c, o."""
    w, r = own[f"{direction}.weight_ih_l0"], own[f"{direction}.weight_hh_l0"]
    b = own[f"{direction}.bias_ih_l0"] + own[f"{direction}.bias_hh_l0"]
    state = memory = np.zeros(r.shape[1])
    for token in case:
        i, f, c, o = np.split(w @ token + r @ state + b, 4)
        memory = sigmoid(f) * memory + sigmoid(i) * np.tanh(c)
        state = sigmoid(o) * np.tanh(memory)
    return state


@pytest.mark.parametrize("bidirectional", [True, False])
def test_values_are_those_of_the_equations(bidirectional):
    tokens, mask = draw()
    aggregator = LSTM(6, hidden=5, bidirectional=bidirectional)
    own = values(aggregator)

    def formula(case):
        states = [state_by_hand(case, own, "forwards")]
        if bidirectional:
            states.append(state_by_hand(case[::-1], own, "backwards"))
        return np.concatenate(states)

    assert aggregator.num_features == (10 if bidirectional else 5)
    np.testing.assert_allclose(
        pooled(aggregator, tokens, mask), by_case(formula, tokens, mask), rtol=1e-9
    )


def test_it_agrees_with_packed_sequences():
    tokens, mask = (torch.from_numpy(x) for x in draw())
    aggregator = LSTM(6, hidden=5).double()
    packed = nn.LSTM(6, 5, batch_first=True, bidirectional=True).double()
    state = {name.partition(".")[2]: p for name, p in aggregator.forwards.named_parameters("x")}
    state |= {
        f"{name.partition('.')[2]}_reverse": p
        for name, p in aggregator.backwards.named_parameters("x")
    }
    packed.load_state_dict(state)
    lengths = mask.sum(dim=1)
    _, (last, _) = packed(
        pack_padded_sequence(tokens, lengths, batch_first=True, enforce_sorted=False)
    )
    torch.testing.assert_close(aggregator(tokens, mask), torch.cat([last[0], last[1]], dim=1))


def test_a_hidden_slice_is_read_by_neither_direction():
    tokens, _ = draw(lengths=(6,))
    mask = np.array([[True, True, False, True, False, True]])
    aggregator = LSTM(6)
    kept = tokens[:, mask[0]]
    np.testing.assert_allclose(
        pooled(aggregator, tokens, mask), pooled(aggregator, kept, np.ones((1, 4), dtype=bool))
    )


def test_the_order_of_slices_matters():
    tokens, mask = draw(lengths=(5,))
    aggregator = LSTM(6)
    turned = pooled(aggregator, tokens[:, ::-1].copy(), mask)
    assert np.abs(pooled(aggregator, tokens, mask) - turned).max() > 1e-3
