"""In-plane blurs over a few pixels: along a line, Gaussian, over a box, and the median."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from kornia.filters import filter2d, median_blur

from volbench.types import Volume


def motion_kernel(size: int, angle: float) -> Float[np.ndarray, "{size} {size}"]:
    """Weights along a line through the middle, from border to border, at an angle in radians."""
    kernel: Float[np.ndarray, "size size"] = np.zeros((size, size))
    steps = np.arange(size) - size // 2
    longer = max(abs(math.cos(angle)), abs(math.sin(angle)))
    x = steps * math.cos(angle) / longer + size // 2
    y = steps * math.sin(angle) / longer + size // 2
    pixel = np.arange(size)
    for column, row in zip(x, y, strict=True):
        # Each point of the line is shared among its nearest pixels, as in bilinear interpolation.
        kernel += np.outer(
            np.maximum(0, 1 - abs(pixel - row)), np.maximum(0, 1 - abs(pixel - column))
        )
    kernel /= kernel.sum()
    return kernel


def gaussian_kernel(size: int) -> Float[np.ndarray, "{size} {size}"]:
    """Weights of a Gaussian whose standard deviation follows from the size, as in OpenCV.

    It is 0.3 ((size - 1) / 2 - 1) + 0.8 pixels: 0.8 for 3 pixels.
    """
    sigma = 0.3 * ((size - 1) / 2 - 1) + 0.8
    weight = np.exp(-((np.arange(size) - size // 2) ** 2) / (2 * sigma**2))
    kernel: Float[np.ndarray, "size size"] = np.outer(weight, weight)
    kernel /= kernel.sum()
    return kernel


def box_kernel(size: int) -> Float[np.ndarray, "{size} {size}"]:
    """Weights that are all equal."""
    return np.full((size, size), 1 / size**2)


def convolve(volume: Volume, kernel: Float[np.ndarray, "size size"]) -> Volume:
    """Blur every slice; beyond the border it is mirrored about its outermost pixels."""
    weights = torch.from_numpy(kernel).to(volume.device, volume.dtype, non_blocking=True)
    blurred: Volume = filter2d(volume.flatten(0, 1), weights[None], border_type="reflect")
    return blurred.reshape(volume.shape)


def median(volume: Volume, size: int) -> Volume:
    """Take the median around every pixel; beyond the border lies the nearest pixel of it."""
    margin = size // 2
    planes = F.pad(volume.flatten(0, 1), (margin,) * 4, mode="replicate")
    inner = slice(margin, -margin)
    filtered: Volume = median_blur(planes, size)[..., inner, inner]
    return filtered.reshape(volume.shape)
