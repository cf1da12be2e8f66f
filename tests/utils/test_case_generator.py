import hashlib

import numpy as np
import pytest
import torch

from volbench._utils.case_generator import CaseGenerator
from volbench._utils.seeds import derive_seed


@pytest.mark.parametrize(
    ("parts", "text"),
    [((0,), "0"), ((7, "fold", 3), "7\x1ffold\x1f3"), (("case", "a/ü"), "case\x1fa/ü")],
)
def test_a_seed_is_the_first_63_bits_of_the_digest_of_its_path(parts, text):
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert derive_seed(*parts) == int(digest, 16) >> (256 - 63)


def test_the_seed_of_a_known_path_never_changes():
    # Runs are repeated from their seeds, so this number outlives every version.
    assert derive_seed(0, "fold", 3) == 8_225_442_679_708_939_489


def test_paths_that_read_alike_have_seeds_of_their_own():
    paths = [("ab", "c"), ("a", "bc"), ("abc",), ("a", "b", "c"), (1, 11), (11, 1), (111,)]
    assert len({derive_seed(*path) for path in paths}) == len(paths)


def test_ten_thousand_seeds_differ_and_fit_a_generator():
    seeds = [derive_seed(0, "epoch", 1, "case", case) for case in range(10_000)]
    assert len(set(seeds)) == len(seeds)
    assert min(seeds) >= 0
    assert max(seeds) < 2**63
    torch.Generator().manual_seed(max(seeds))


def test_a_case_draws_what_a_generator_of_its_seed_alone_draws():
    seeds = [5, 6, 7]
    drawn = CaseGenerator(seeds).uniform(2, 3)
    for seed, case in zip(seeds, drawn, strict=True):
        assert torch.equal(case, torch.rand(2, 3, generator=torch.Generator().manual_seed(seed)))


def test_neither_the_batch_nor_the_place_in_it_matters():
    together, apart = CaseGenerator([5, 6, 7]), CaseGenerator([7, 5])
    for draw in (
        lambda generator: generator.uniform(),
        lambda generator: generator.normal(40),
        lambda generator: generator.uniform(3, low=-2.0, high=5.0),
    ):
        assert torch.equal(draw(together)[[2, 0]], draw(apart))


def test_successive_draws_differ():
    generator = CaseGenerator([1, 2])
    assert not torch.equal(generator.uniform(3), generator.uniform(3))
    assert not torch.equal(generator.normal(3), generator.normal(3))


def test_pytorchs_own_generator_is_left_alone():
    before = torch.get_rng_state()
    CaseGenerator([1, 2]).normal(3)
    CaseGenerator([1, 2]).uniform(3)
    assert torch.equal(torch.get_rng_state(), before)


def test_uniform_fills_its_range_evenly():
    drawn = CaseGenerator([3]).uniform(100_000, low=-2.0, high=6.0)
    assert -2 <= drawn.min() < -1.999
    assert 5.999 < drawn.max() < 6
    # The standard error of the mean is 8 / sqrt(12 n) = 0.007.
    assert drawn.mean().item() == pytest.approx(2.0, abs=0.03)
    counts = torch.histc(drawn, bins=8, min=-2, max=6)
    assert (counts / 12_500 - 1).abs().max() < 0.04


def test_normal_has_mean_zero_and_variance_one():
    drawn = CaseGenerator([3]).normal(100_000)
    assert drawn.mean().item() == pytest.approx(0.0, abs=0.015)
    assert drawn.var().item() == pytest.approx(1.0, abs=0.02)


def test_there_is_one_row_per_case_on_the_device_asked_for():
    generator = CaseGenerator([1, 2, 3], device="meta")
    assert len(generator) == 3
    assert generator.uniform().shape == (3,)
    drawn = generator.normal(4, 5)
    assert (drawn.shape, drawn.device.type, drawn.dtype) == ((3, 4, 5), "meta", torch.float32)


def test_choices_are_drawn_on_the_host_from_a_stream_of_their_own():
    generator = CaseGenerator([5, 6, 7], device="meta")
    drawn = generator.choices(4)
    for seed, case in zip([5, 6, 7], drawn, strict=True):
        np.testing.assert_array_equal(case, np.random.default_rng(seed).random(4))
    assert not np.array_equal(generator.choices(4), drawn)

    plain, mixed = CaseGenerator([5]), CaseGenerator([5])
    mixed.choices(9)
    assert torch.equal(plain.normal(3), mixed.normal(3))
    np.testing.assert_array_equal(CaseGenerator([7, 5]).choices(4), drawn[[2, 0]])
