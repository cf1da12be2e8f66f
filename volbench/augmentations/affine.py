"""Flip, rotation, scale and shift in-plane in one resampling, then brightness and contrast.

Source: common practice; the ranges are volbench's own.
"""

import math

import torch

from volbench._utils.case_generator import CaseGenerator
from volbench.augmentations.geometry import (
    compose,
    move,
    pixel_positions,
    sample,
    scaling,
    undo_similarity,
)
from volbench.augmentations.intensity import jitter
from volbench.augmentations.options import check_range
from volbench.interfaces import Augmentation
from volbench.types import SliceMask, Volume


class Affine(Augmentation):
    """Moves a case rigidly but for one scale, all slices alike, and jitters its intensities.

    The image is mirrored, magnified, turned about its centre and shifted, in this order. Every
    amount is drawn uniformly, symmetric about no change.

    Args:
        flip: Probability of mirroring along the width.
        rotate_deg: Largest angle, in degrees, either way.
        scale: Largest change of size: 0.1 draws a magnification from 0.9 to 1.1.
        shift: Largest shift, as a fraction of the width and of the height.
        brightness: Largest change of brightness, in standard deviations of the case.
        contrast: Largest change of contrast: 0.1 draws a factor from 0.9 to 1.1.

    Raises:
        ValueError: an option is out of range.

    >>> from torch import ones
    >>> from volbench._utils.case_generator import CaseGenerator
    >>> volume, mask = ones(2, 1, 5, 16, 16), ones(2, 5).bool()
    >>> Affine(rotate_deg=5.0)(volume, mask, CaseGenerator([1, 2])).shape
    torch.Size([2, 1, 5, 16, 16])
    """

    def __init__(
        self,
        *,
        flip: float = 0.5,
        rotate_deg: float = 10.0,
        scale: float = 0.1,
        shift: float = 0.05,
        brightness: float = 0.1,
        contrast: float = 0.1,
    ) -> None:
        check_range("flip", flip, low=0, high=1)
        check_range("rotate_deg", rotate_deg, low=0, high=180)
        check_range("scale", scale, low=0, high=0.9)
        check_range("shift", shift, low=0, high=1)
        check_range("brightness", brightness, low=0, high=10)
        check_range("contrast", contrast, low=0, high=1)
        self.flip = flip
        self.rotate_deg = rotate_deg
        self.scale = scale
        self.shift = shift
        self.brightness = brightness
        self.contrast = contrast

    def __call__(self, volume: Volume, mask: SliceMask, generator: CaseGenerator) -> Volume:
        """Draw seven numbers per case, whatever the options: changing one keeps the others."""
        height, width = volume.shape[3:]
        mirrored = generator.uniform() < self.flip
        angle, size, right, down, brightness, contrast = generator.uniform(
            6, low=-1.0, high=1.0
        ).unbind(dim=1)

        # A pixel of the result is traced back to the input, so the mirror is undone last.
        mirror = 1.0 - 2.0 * mirrored.to(angle.dtype)
        back = compose(
            undo_similarity(
                magnification=1 + self.scale * size,
                angle=math.radians(self.rotate_deg) * angle,
                right=self.shift * width * right,
                down=self.shift * height * down,
            ),
            scaling(mirror, torch.ones_like(mirror)),
        )
        positions = move(pixel_positions(height, width, device=volume.device), back)
        return jitter(
            sample(volume, positions),
            mask,
            contrast=1 + self.contrast * contrast,
            brightness=self.brightness * brightness,
        )
