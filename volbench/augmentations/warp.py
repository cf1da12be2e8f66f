"""What is drawn for the geometry of a batch, and its one interpolation."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from volbench._utils.device import send
from volbench.augmentations.distortion import grid_distortion, optical_distortion
from volbench.augmentations.elastic import elastic_field, three_points
from volbench.augmentations.geometry import (
    Warped,
    compose,
    move,
    pixel_positions,
    sample,
    scaling,
    translation,
    undo_similarity,
)
from volbench.types import Volume


@dataclass(frozen=True)
class Warp:
    """Amounts per case, on the host; zero where a step is not taken.

    The steps happen to the image in this order, and each to all slices of a case alike.

    Attributes:
        corners: Where three points are read, as an offset in fractions of the shorter side.
        elastic: Standard deviation of the smooth displacement, as a fraction of the shorter side.
        optical: Coefficient k of the optical distortion.
        stretch: Of the cells of a grid, along x and along y.
        growth: Change of size: 0.1 magnifies by 1.1.
        angle: In radians, from x towards y.
        right: Shift, as a fraction of the width.
        down: Shift, as a fraction of the height.
        top: First row of the window that is kept.
        left: Its first column.
        mirrored: Whether left and right change places.
    """

    corners: Float[np.ndarray, "batch 3 2"]
    elastic: Float[np.ndarray, " batch"]
    optical: Float[np.ndarray, " batch"]
    stretch: Float[np.ndarray, "batch 2 cells"]
    growth: Float[np.ndarray, " batch"]
    angle: Float[np.ndarray, " batch"]
    right: Float[np.ndarray, " batch"]
    down: Float[np.ndarray, " batch"]
    top: Int[np.ndarray, " batch"]
    left: Int[np.ndarray, " batch"]
    mirrored: Bool[np.ndarray, " batch"]

    def moved(self) -> Bool[np.ndarray, " batch"]:
        """Tell which cases are more than a window of themselves."""
        amounts = (self.elastic, self.optical, self.growth, self.angle, self.right, self.down)
        warped: Bool[np.ndarray, " batch"] = self.mirrored | np.any(amounts, axis=0)
        return warped | self.corners.any(axis=(1, 2)) | self.stretch.any(axis=(1, 2))


def warp(
    volume: Volume,
    drawn: Warp,
    noise: Float[Tensor, "batch 2 32 32"],
    *,
    window: tuple[int, int],
    smooth: float,
) -> Warped:
    """Apply a warp with one interpolation; a case that nothing moves is cut out as it is.

    Args:
        volume: In float32 or float64.
        drawn: What to do.
        noise: Standard normal, what the elastic deformation is made of.
        window: Height and width of the result, in pixels.
        smooth: Of the elastic deformation, as a fraction of the side.
    """
    moved = drawn.moved()
    if moved.any():
        warped = sample(volume, _positions(volume, drawn, noise, window=window, smooth=smooth))
    else:
        warped = volume.new_empty(*volume.shape[:3], *window)
    for case in np.flatnonzero(~moved).tolist():
        top, left = int(drawn.top[case]), int(drawn.left[case])
        warped[case] = cut(volume[case : case + 1], top=top, left=left, window=window)[0]
    return warped


def cut(volume: Volume, *, top: int, left: int, window: tuple[int, int]) -> Warped:
    """Return a window of every slice."""
    height, width = window
    return volume[..., top : top + height, left : left + width]


def _positions(
    volume: Volume,
    drawn: Warp,
    noise: Float[Tensor, "batch 2 32 32"],
    *,
    window: tuple[int, int],
    smooth: float,
) -> Float[Tensor, "batch rows columns 2"]:
    """Trace every pixel of the window back: what happened to the image last is undone first."""
    height, width = volume.shape[3:]
    shorter = min(height, width)

    def on_device(values: Float[np.ndarray, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return send(torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)), volume.device)

    mirror = on_device(np.where(drawn.mirrored, -1.0, 1.0))
    back = compose(
        scaling(mirror, torch.ones_like(mirror)),
        translation(
            on_device(drawn.left + (window[1] - width) / 2),
            on_device(drawn.top + (window[0] - height) / 2),
        ),
        undo_similarity(
            magnification=on_device(1 + drawn.growth),
            angle=on_device(drawn.angle),
            right=on_device(drawn.right * width),
            down=on_device(drawn.down * height),
        ),
    )
    positions = move(pixel_positions(*window, device=volume.device), back)
    size = {"height": height, "width": width}
    if drawn.optical.any():
        positions = optical_distortion(positions, on_device(drawn.optical), **size)
    if drawn.stretch.any():
        positions = grid_distortion(positions, on_device(drawn.stretch), **size)
    if drawn.elastic.any():
        field = elastic_field(noise, smooth=smooth, **size)
        field = field * on_device(drawn.elastic * shorter)[:, None, None, None]
        displacement = sample(field[:, :, None], positions)[:, :, 0]
        positions = positions + displacement.movedim(1, -1)
    if drawn.corners.any():
        offsets = on_device(drawn.corners * shorter)
        positions = move(positions, three_points(offsets, reach=shorter / 3))
    return positions
