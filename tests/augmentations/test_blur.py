"""The blurs against SciPy's filters."""

import math

import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given
from hypothesis import strategies as st

from volbench.augmentations.blur import (
    box_kernel,
    convolve,
    gaussian_kernel,
    median,
    motion_kernel,
)


def planes():
    return torch.randn(2, 2, 3, 17, 23, dtype=torch.float64)


def by_scipy(volume, change):
    result = np.empty(volume.shape)
    for index in np.ndindex(*volume.shape[:3]):
        result[index] = change(volume[index].numpy())
    return torch.from_numpy(result)


@pytest.mark.parametrize("size", [3, 5, 9])
def test_the_gaussian_agrees_with_scipy(size):
    sigma = {3: 0.8, 5: 1.1, 9: 1.7}[size]  # what OpenCV derives from the size
    expected = by_scipy(
        volume := planes(),
        lambda plane: scipy.ndimage.gaussian_filter(plane, sigma, mode="mirror", radius=size // 2),
    )
    torch.testing.assert_close(convolve(volume, gaussian_kernel(size)), expected)


@pytest.mark.parametrize("size", [3, 5])
def test_the_box_agrees_with_scipy(size):
    volume = planes()
    expected = by_scipy(
        volume, lambda plane: scipy.ndimage.uniform_filter(plane, size, mode="mirror")
    )
    torch.testing.assert_close(convolve(volume, box_kernel(size)), expected)


@pytest.mark.parametrize("size", [3, 5, 7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_median_agrees_with_scipy(size, dtype):
    volume = planes().to(dtype)
    expected = by_scipy(
        volume, lambda plane: scipy.ndimage.median_filter(plane, size, mode="nearest")
    )
    assert torch.equal(median(volume, size).double(), expected)


def test_motion_agrees_with_scipy():
    kernel = motion_kernel(5, 0.6)
    volume = planes()
    expected = by_scipy(volume, lambda plane: scipy.ndimage.correlate(plane, kernel, mode="mirror"))
    torch.testing.assert_close(convolve(volume, kernel), expected)


@pytest.mark.parametrize(
    ("angle", "expected"),
    [
        (0, [[0, 0, 0], [1, 1, 1], [0, 0, 0]]),
        (math.pi / 4, [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        (math.pi / 2, [[0, 1, 0], [0, 1, 0], [0, 1, 0]]),
        (3 * math.pi / 4, [[0, 0, 1], [0, 1, 0], [1, 0, 0]]),
        (math.atan(0.5), [[0.5, 0, 0], [0.5, 1, 0.5], [0, 0, 0.5]]),
    ],
)
def test_a_motion_kernel_is_a_line_through_the_middle(angle, expected):
    np.testing.assert_allclose(motion_kernel(3, angle), np.array(expected) / 3, atol=1e-12)


@given(st.sampled_from([1, 3, 5, 9, 15]), st.floats(0, math.pi))
def test_a_motion_kernel_keeps_the_mean_and_moves_nothing(size, angle):
    kernel = motion_kernel(size, angle)
    assert kernel.sum() == pytest.approx(1)
    assert kernel.min() >= 0
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-12)
