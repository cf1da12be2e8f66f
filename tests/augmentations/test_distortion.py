"""The distortions against their formulas in NumPy, float64."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from volbench.augmentations.distortion import grid_distortion, optical_distortion
from volbench.augmentations.geometry import pixel_positions

HEIGHT, WIDTH = 40, 54
SIZE = {"height": HEIGHT, "width": WIDTH}


def positions(cases):
    """The pixels of a slice, and some places beyond its border."""
    grid = pixel_positions(HEIGHT, WIDTH, device=torch.device("cpu"))
    return grid.expand(cases, -1, -1, -1) * 1.2


def grid_by_interpolation(along, factors, side):
    """The place along a line of cells, each longer by its factor, that starts at the centre."""
    cells = len(factors)
    edges = np.linspace(-side / 2, side / 2, cells + 1)
    lengths = side / cells * (1 + np.asarray(factors))
    stretched = np.concatenate([[0], np.cumsum(lengths)])
    stretched -= np.interp(0, edges, stretched)
    inside = np.clip(along, edges[0], edges[-1])
    return np.interp(inside, edges, stretched) + along - inside


def test_optical_distortion_moves_along_the_radius():
    strength = torch.tensor([0.03, -0.3, 0.0])
    before = positions(3)
    after = optical_distortion(before, strength, **SIZE).double().numpy()
    x, y = np.moveaxis(before.double().numpy(), -1, 0)
    square = (x / WIDTH) ** 2 + (y / HEIGHT) ** 2
    factor = 1 + strength.double().numpy()[:, None, None] * (square + square**2)
    np.testing.assert_allclose(after, np.stack([x * factor, y * factor], axis=-1), atol=1e-4)


def test_a_corner_is_read_as_far_out_as_the_coefficient_says():
    corner = torch.tensor([[[[WIDTH / 2, HEIGHT / 2]]]])
    moved = optical_distortion(corner, torch.tensor([0.04]), **SIZE)
    # r² = 1/4 + 1/4, so the factor is 1 + 0.04 (1/2 + 1/4) = 1.03.
    torch.testing.assert_close(moved, 1.03 * corner)


def test_grid_distortion_stretches_cell_by_cell():
    generator = np.random.default_rng(2)
    for cells in (1, 2, 5, 8):
        factors = generator.uniform(-0.5, 0.5, (3, 2, cells))
        before = positions(3)
        after = grid_distortion(before, torch.from_numpy(factors).float(), **SIZE).numpy()
        for case, (along_x, along_y) in enumerate(factors):
            x, y = np.moveaxis(before[case].double().numpy(), -1, 0)
            expected = np.stack(
                [
                    grid_by_interpolation(x, along_x, WIDTH),
                    grid_by_interpolation(y, along_y, HEIGHT),
                ],
                axis=-1,
            )
            np.testing.assert_allclose(after[case], expected, atol=1e-4)


def test_a_grid_that_grows_everywhere_is_a_magnification():
    before = positions(1) / 1.2
    after = grid_distortion(before, torch.full((1, 2, 5), 0.1), **SIZE)
    torch.testing.assert_close(after, 1.1 * before, rtol=0, atol=1e-4)


@given(st.lists(st.floats(-0.9, 0.9), min_size=6, max_size=6))
def test_a_grid_distortion_leaves_the_centre_and_never_folds(factors):
    line = torch.linspace(-0.5, 0.5, 101) * WIDTH
    before = torch.stack([line, torch.zeros_like(line)], dim=-1)[None, None]
    stretch = torch.tensor(factors).reshape(1, 2, 3)
    after = grid_distortion(before, stretch, height=1, width=WIDTH)[0, 0, :, 0]
    assert abs(after[50]) < 1e-5
    assert (after.diff() > 0).all()
