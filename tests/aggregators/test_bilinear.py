import numpy as np
import pytest
import torch

from volbench.aggregators.bilinear import Bilinear
from volbench.errors import SpecError
from volbench.interfaces import Aggregator
from volbench.plugins.registry import aggregators


def by_hand(case):
    """The formula, one outer product after the other."""
    mean = sum(np.outer(token, token) for token in case) / len(case)
    triangle = np.array([mean[i, j] for i in range(len(mean)) for j in range(i + 1)])
    root = np.sign(triangle) * np.sqrt(np.abs(triangle))
    return root / np.sqrt((root**2).sum())


def draw(lengths=(4, 1, 7), features=6):
    tokens = np.random.default_rng(0).normal(size=(len(lengths), max(lengths), features))
    mask = np.arange(max(lengths)) < np.array(lengths)[:, None]
    expected = np.stack([by_hand(case[:n]) for case, n in zip(tokens, lengths, strict=True)])
    return torch.from_numpy(tokens), torch.from_numpy(mask), torch.from_numpy(expected)


def test_values_are_those_of_the_formula():
    tokens, mask, expected = draw()
    torch.testing.assert_close(Bilinear(6)(tokens, mask), expected, rtol=1e-6, atol=1e-7)


def test_single_precision_is_enough_for_256_features():
    tokens, mask, expected = draw(lengths=(24, 5), features=256)
    embedding = Bilinear(256)(tokens.float(), mask)
    assert embedding.shape == (2, 256 * 257 // 2)
    torch.testing.assert_close(embedding.double(), expected, rtol=0.0, atol=2e-5)


def test_gradients_are_those_of_finite_differences():
    tokens, mask, _ = draw(lengths=(3, 2), features=3)
    tokens.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: Bilinear(3)(x, mask), tokens)


def test_every_embedding_has_unit_length():
    tokens, mask, _ = draw()
    norm = torch.linalg.vector_norm(Bilinear(6)(tokens, mask), dim=1)
    torch.testing.assert_close(norm, torch.ones(3, dtype=torch.float64))


def test_a_constant_in_place_of_the_number_of_slices_would_cancel():
    tokens, mask, _ = draw()
    aggregator = Bilinear(6)
    # Products divided by 7 instead of by D are those of tokens scaled by the root of D / 7.
    divided = tokens * (mask.sum(dim=1) / 7).sqrt()[:, None, None]
    torch.testing.assert_close(
        aggregator(divided, mask), aggregator(tokens, mask), rtol=1e-6, atol=1e-7
    )


def test_the_order_of_slices_and_the_sign_of_tokens_do_not_matter():
    tokens, _, _ = draw(lengths=(5,))
    aggregator = Bilinear(6)
    torch.testing.assert_close(aggregator(-tokens.flip(1)), aggregator(tokens))


def test_tokens_of_zero_give_zero_and_a_zero_gradient():
    tokens = torch.zeros(2, 3, 4, requires_grad=True)
    embedding = Bilinear(4)(tokens)
    embedding.sum().backward()
    assert not embedding.any()
    assert tokens.grad is not None
    assert not tokens.grad.any()


def test_the_slope_of_the_root_is_bounded_where_a_feature_is_off():
    tokens = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]], requires_grad=True)
    embedding = Bilinear(2, eps=1e-6)(tokens)
    embedding[0, 1].backward()
    torch.testing.assert_close(embedding, torch.tensor([[1.0, 0.0, 0.0]]))
    # d g / d x = 1/2 for either slice, at a slope of eps ** -0.5 = 1000.
    torch.testing.assert_close(tokens.grad, torch.tensor([[[0.0, 500.0], [0.0, 500.0]]]))


def test_eps_moves_the_result_only_where_products_are_as_small():
    tokens, mask, expected = draw()
    near = Bilinear(6, eps=1e-9)(tokens, mask)
    far = Bilinear(6, eps=1.0)(tokens, mask)
    torch.testing.assert_close(near, expected, rtol=1e-9, atol=1e-9)
    assert (far - expected).abs().max() > 0.01


def test_the_root_is_that_of_the_released_code():
    tokens = torch.tensor([[[1.0, 0.001, 0.0]]], dtype=torch.float64)
    product = torch.tensor([1.0, 1e-3, 1e-6, 0.0, 0.0, 0.0], dtype=torch.float64)
    root = product.sign() * (product.abs() + 1e-12).sqrt()
    torch.testing.assert_close(Bilinear(3)(tokens)[0], root / root.norm(), rtol=1e-12, atol=0)


def test_weights_stored_with_the_former_root_are_used_with_it():
    tokens = torch.tensor([[[1.0, 0.001]]])
    former, restored, stored_now = Bilinear(2, eps=1e-6), Bilinear(2), Bilinear(2)
    restored.load_state_dict({})
    stored_now.load_state_dict(Bilinear(2).state_dict())
    assert torch.equal(restored(tokens), former(tokens))
    assert torch.equal(stored_now(tokens), Bilinear(2)(tokens))
    assert not torch.equal(restored(tokens), stored_now(tokens))


def test_a_negative_eps_is_refused():
    with pytest.raises(SpecError) as caught:
        aggregators.build("bilinear(eps=-1)", Aggregator, 6)
    assert (
        str(caught.value) == "aggregator bilinear(eps=-1): eps must not be negative, but got eps=-1"
    )


def test_autocast_rounds_nothing():
    tokens, mask, _ = draw()
    tokens = tokens.float()
    plain = Bilinear(6)(tokens, mask)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = Bilinear(6)(tokens, mask)
    assert torch.equal(plain, rounded)
