"""Sampling against SciPy, maps against matrices written out by hand."""

import math

import numpy as np
import pytest
import scipy.ndimage
import torch

from volbench.augmentations.geometry import (
    compose,
    move,
    pixel_positions,
    rotation,
    sample,
    scaling,
    translation,
)

CPU = torch.device("cpu")


def column(*values):
    return torch.tensor(values, dtype=torch.float32)


def by_scipy(volume, positions):
    """Read every slice at positions from the centre, as (x, y), in float64."""
    height, width = volume.shape[3:]
    result = np.empty(volume.shape)
    for case, channel, place in np.ndindex(*volume.shape[:3]):
        x, y = np.moveaxis(positions[case].double().numpy(), -1, 0)
        result[case, channel, place] = scipy.ndimage.map_coordinates(
            volume[case, channel, place].double().numpy(),
            [y + (height - 1) / 2, x + (width - 1) / 2],
            order=1,
            mode="nearest",
        )
    return torch.from_numpy(result)


def test_positions_are_pixels_from_the_centre():
    positions = pixel_positions(2, 3, device=CPU)
    assert positions.tolist() == [
        [[[-1, -0.5], [0, -0.5], [1, -0.5]], [[-1, 0.5], [0, 0.5], [1, 0.5]]]
    ]


@pytest.mark.parametrize("size", [(256, 256), (28, 28), (31, 47), (1, 5), (200, 63)])
def test_reading_at_each_pixels_own_place_changes_nothing(size):
    volume = torch.randn(2, 2, 3, *size)
    positions = pixel_positions(*size, device=CPU).expand(2, -1, -1, -1)
    torch.testing.assert_close(sample(volume, positions), volume, rtol=0.0, atol=2e-4)


def test_sampling_agrees_with_scipy_inside_and_beyond_the_border():
    torch.manual_seed(0)
    volume = torch.randn(2, 2, 3, 17, 12)
    positions = pixel_positions(17, 12, device=CPU) + 4 * torch.randn(2, 17, 12, 2)
    expected = by_scipy(volume, positions)
    torch.testing.assert_close(sample(volume, positions).double(), expected, rtol=0.0, atol=1e-4)


def test_composed_maps_agree_with_matrices_written_out():
    angle, factor_x, factor_y, dx, dy = 0.3, -1.2, 0.8, 2.5, -1.0
    sine, cosine = math.sin(angle), math.cos(angle)
    first = np.array([[factor_x, 0, 0], [0, factor_y, 0], [0, 0, 1]])
    second = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    third = np.array([[1, 0, dx], [0, 1, dy], [0, 0, 1]])
    expected = third @ second @ first
    composed = compose(
        scaling(column(factor_x), column(factor_y)),
        rotation(column(angle)),
        translation(column(dx), column(dy)),
    )
    np.testing.assert_allclose(composed[0].numpy(), expected, rtol=1e-6, atol=1e-6)

    positions = pixel_positions(5, 7, device=CPU)
    homogeneous = np.concatenate([positions[0].numpy(), np.ones((5, 7, 1))], axis=-1)
    np.testing.assert_allclose(
        move(positions, composed)[0].numpy(), (homogeneous @ expected.T)[..., :2], atol=1e-5
    )


def test_a_quarter_turn_of_a_square_moves_every_pixel_onto_another():
    volume = torch.randn(1, 1, 2, 9, 9)
    positions = move(pixel_positions(9, 9, device=CPU), rotation(column(math.pi / 2)))
    # A pixel at (x, y) is read at (-y, x): the image turns from y to x, counter-clockwise as
    # rows are counted downwards.
    expected = torch.from_numpy(np.rot90(volume.numpy(), axes=(3, 4)).copy())
    torch.testing.assert_close(sample(volume, positions), expected, rtol=0.0, atol=1e-4)


def test_a_turn_of_an_oblong_slice_keeps_distances():
    positions = pixel_positions(20, 50, device=CPU)
    turned = move(positions, rotation(column(0.7)))
    torch.testing.assert_close(turned.norm(dim=-1), positions.norm(dim=-1))


def test_each_case_of_a_batch_has_its_own_map():
    volume = torch.randn(2, 1, 1, 6, 6)
    positions = move(pixel_positions(6, 6, device=CPU), translation(column(1, -2), column(0, 0)))
    moved = sample(volume, positions)
    torch.testing.assert_close(moved[0, ..., :-1], volume[0, ..., 1:], rtol=0.0, atol=1e-5)
    torch.testing.assert_close(moved[1, ..., 2:], volume[1, ..., :-2], rtol=0.0, atol=1e-5)


def test_a_displacement_field_is_an_offset_to_the_positions():
    torch.manual_seed(1)
    volume = torch.randn(2, 1, 2, 11, 11)
    displacement = 1.5 * torch.randn(2, 11, 11, 2)
    affine = compose(rotation(column(0.2, -0.4)), scaling(column(0.9, 1), column(1.1, 1)))
    positions = move(pixel_positions(11, 11, device=CPU) + displacement, affine)
    expected = by_scipy(volume, positions)
    torch.testing.assert_close(sample(volume, positions).double(), expected, rtol=0.0, atol=1e-4)


def test_half_precision_is_rounded_once():
    volume = (100 + 20 * torch.randn(1, 1, 2, 64, 64)).bfloat16()
    positions = move(pixel_positions(64, 64, device=CPU), rotation(column(0.1)))
    expected = sample(volume.float(), positions).bfloat16()
    assert torch.equal(sample(volume, positions), expected)
