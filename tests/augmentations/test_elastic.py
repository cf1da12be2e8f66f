"""The field against SciPy's Gaussian filter, the map of three points against a linear solve."""

import numpy as np
import pytest
import scipy.fft
import scipy.ndimage
import torch

from volbench.augmentations.elastic import elastic_field, three_points


@pytest.mark.parametrize(("height", "width"), [(64, 64), (60, 96)])
@pytest.mark.parametrize("smooth", [0.06, 0.1, 50 / 270, 0.5])
def test_the_field_is_white_noise_smoothed_by_a_gaussian(height, width, smooth):
    white = np.random.default_rng(0).standard_normal((2, height, width))
    sigma = (smooth * height, smooth * width)
    expected = (
        2
        * np.sqrt(np.pi * sigma[0] * sigma[1])
        * np.stack(
            [
                scipy.ndimage.gaussian_filter(plane, sigma, mode="reflect", truncate=7)
                for plane in white
            ]
        )
    )
    # The slow cosines of the same noise, which are standard normal too.
    noise = scipy.fft.dctn(white, axes=(1, 2), norm="ortho")[None, :, :32, :32]
    field = elastic_field(
        torch.from_numpy(noise).float(), height=height, width=width, smooth=smooth
    )
    np.testing.assert_allclose(field[0].numpy(), expected, atol=4e-3)


def test_the_deviation_is_one_in_the_middle_and_two_in_a_corner():
    noise = torch.randn(4000, 2, 32, 32, generator=torch.Generator().manual_seed(0))
    field = elastic_field(noise, height=21, width=21, smooth=0.1)
    middle, corner = field[:, :, 10, 10].std().item(), field[:, :, 0, 0].std().item()
    # 8,000 draws: the standard error of a deviation is 0.8 %. The corner pixel's centre is not
    # quite the corner.
    assert middle == pytest.approx(1, abs=0.035)
    assert 1.85 < corner < 2.05


def test_the_same_noise_is_the_same_deformation_at_every_size():
    noise = torch.randn(1, 2, 32, 32)
    large = elastic_field(noise, height=256, width=256, smooth=0.15)
    small = elastic_field(noise, height=32, width=32, smooth=0.15)
    shrunk = torch.nn.functional.avg_pool2d(large, 8)
    torch.testing.assert_close(small, shrunk, rtol=0, atol=0.02)


def test_three_points_move_by_their_offsets():
    reach = 30.0
    corners = np.array([[reach, reach], [reach, -reach], [-reach, -reach]])
    offsets = np.random.default_rng(1).uniform(-5, 5, (4, 3, 2))
    found = three_points(torch.from_numpy(offsets).float(), reach=reach).double().numpy()
    for affine, moves in zip(found, offsets, strict=True):
        homogeneous = np.concatenate([corners, np.ones((3, 1))], axis=1)
        expected = np.linalg.solve(homogeneous, corners + moves).T
        np.testing.assert_allclose(affine, np.vstack([expected, [0, 0, 1]]), atol=1e-5)
