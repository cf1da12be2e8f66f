"""In-plane blurs over a few pixels: along a line, Gaussian, over a box, and the median."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from volbench._utils.device import send
from volbench.augmentations.parts import parts
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
    size = len(kernel)
    weights = send(torch.from_numpy(kernel).to(volume.dtype), volume.device)
    planes = F.pad(volume.flatten(0, 1), (size // 2,) * 4, mode="reflect").flatten(0, 1)
    # Slices as channels, each a group of its own: several times as fast as slices as a batch.
    blurred = [
        F.conv2d(part[None], weights.expand(len(part), 1, size, size), groups=len(part))[0]
        for (part,) in parts(planes)
    ]
    return torch.cat(blurred).reshape(volume.shape)


def median(volume: Volume, size: int) -> Volume:
    """Take the median around every pixel; beyond the border lies the nearest pixel of it."""
    margin = size // 2
    planes = F.pad(volume.flatten(0, 1), (margin,) * 4, mode="replicate")
    if size == 3:
        filtered = torch.cat([_median_of_nine(part) for (part,) in parts(planes.flatten(0, 1))])
    else:
        filtered = torch.cat(
            [_median_of_window(part, size) for (part,) in parts(planes.flatten(0, 1))]
        )
    return filtered.reshape(volume.shape)


def _median_of_nine(
    planes: Float[Tensor, "plane rows columns"],
) -> Float[Tensor, "plane rows-2 columns-2"]:
    """Sort each column of three, which serves three windows; then only three values can be it."""
    low, middle, high = _sorted(planes[:, :-2], planes[:, 1:-1], planes[:, 2:])
    lows, middles, highs = (
        (part[..., :-2], part[..., 1:-1], part[..., 2:]) for part in (low, middle, high)
    )
    highest_low = torch.maximum(torch.maximum(lows[0], lows[1]), lows[2])
    lowest_high = torch.minimum(torch.minimum(highs[0], highs[1]), highs[2])
    return _middle(highest_low, _middle(*middles), lowest_high)


def _median_of_window(
    planes: Float[Tensor, "plane rows columns"], size: int
) -> Float[Tensor, "plane inner_rows inner_columns"]:
    """Of an odd number of values, the middle one."""
    windows = planes.unfold(1, size, 1).unfold(2, size, 1)
    return windows.flatten(-2).median(dim=-1).values


def _sorted(first: Tensor, second: Tensor, third: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    lower, upper = torch.minimum(first, second), torch.maximum(first, second)
    rest = torch.minimum(upper, third)
    return torch.minimum(lower, rest), torch.maximum(lower, rest), torch.maximum(upper, third)


def _middle(first: Tensor, second: Tensor, third: Tensor) -> Tensor:
    lower, upper = torch.minimum(first, second), torch.maximum(first, second)
    return torch.maximum(lower, torch.minimum(upper, third))
