"""The fourteen augmentations of Lee et al. (MICCAI 2022, section 2.1), in one interpolation.

The paper names them. Probabilities and strengths are those of its released code, which calls
albumentations on slices of 270 x 270 pixels of 8 bits
(https://github.com/JoohyungLee0106/rectal_MR_volume_classification).
"""

import math
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float

from volbench._utils.case_generator import CaseGenerator
from volbench._utils.device import send
from volbench._utils.renamed_modules import renamed
from volbench.augmentations import blur
from volbench.augmentations.clahe import clahe
from volbench.augmentations.elastic import SMOOTHEST, WAVES
from volbench.augmentations.geometry import Warped
from volbench.augmentations.intensity import linear, low_and_span
from volbench.augmentations.options import check_count, check_kernel, check_range, check_weights
from volbench.augmentations.warp import Warp, cut, warp
from volbench.interfaces import Augmentation
from volbench.types import SliceMask, Volume

MOST_CELLS = 10

# Drawn for every case and in this order, whatever the options: changing one keeps the others.
AMOUNTS = (
    "any",
    "elastic_any",
    "elastic",
    "distorted",
    "which_distortion",
    "optical",
    "moved",
    "growth",
    "angle",
    "right",
    "down",
    "top",
    "left",
    "mirrored",
    "equalised",
    "clahe",
    "shaded",
    "brightness",
    "contrast",
    "blurred",
    "which_blur",
    "motion",
    *(f"corner_{number}" for number in range(6)),
    *(f"cell_{number}" for number in range(2 * MOST_CELLS)),
)
Amounts: TypeAlias = dict[str, Float[np.ndarray, " batch"]]


class Lee2022(Augmentation):
    """Elastic, optical or grid distortion, shift, scale, turn; crop, flip; intensities; blur.

    All slices of a case change alike. With probability ``p`` a case goes through the steps in the
    order below, each with a probability of its own; else only its window is drawn. Amounts are
    uniform, symmetric about no change unless said otherwise. Intensities are in units of the
    case's own range, from its lowest to its highest, channel by channel.

    Args:
        p: Probability of anything but the crop.
        elastic: Largest standard deviation of the elastic displacement, drawn from 0, as a fraction
            of the shorter side. The code's comes to 0.065 pixels, which nobody sees; 0.01 shows.
        elastic_smooth: Width (standard deviation) of its smoothing, as a fraction of the side.
        elastic_corners: Largest offset of three points that an affine map follows, in such sides.
        elastic_p: Probability of both.
        distortion_p: Probability of either of the following two.
        optical: Largest coefficient of the optical distortion.
        optical_weight: How often it is the one, relative to the other.
        grid: Largest change of length of a cell of the grid distortion.
        grid_cells: Cells along each side.
        grid_weight: How often it is the one, relative to the other.
        shift: Largest shift, as a fraction of the width and of the height.
        scale: Largest change of size: 0.1 draws a magnification from 0.9 to 1.1.
        rotate_deg: Largest angle, in degrees, either way.
        move_p: Probability of shift, scale and turn, always together.
        crop: Side of the window that is kept, as a part of the slice's: slices become smaller.
            Drawn is its place. At evaluation it is the middle.
        flip: Probability of mirroring along the width.
        clahe: Largest clip limit of the adaptive histogram equalisation, drawn from 0; 0 is off.
        clahe_tiles: Tiles along each side; fewer where they would be smaller than 16 pixels.
        clahe_p: Its probability.
        brightness: Largest change of brightness, as a fraction of the case's range.
        contrast: Largest change of contrast: 0.1 draws a factor from 0.9 to 1.1. The lowest
            intensity stays.
        shade_p: Probability of brightness and contrast, always together.
        blur_p: Probability of one of the following three.
        motion: Pixels of the line, of random direction, along which slices are blurred; 1 is off.
        motion_weight: How often it is the one, relative to the others.
        median: Pixels along each side of the median filter; 1 is off.
        median_weight: How often it is the one.
        gaussian: Pixels along each side of the Gaussian filter; 1 is off.
        gaussian_weight: How often it is the one.
        box: Average over a box, as the code does, instead of the paper's Gaussian.

    Raises:
        ValueError: an option is out of range.

    >>> from torch import ones
    >>> from volbench._utils.case_generator import CaseGenerator
    >>> volume, mask = ones(2, 1, 5, 16, 16), ones(2, 5).bool()
    >>> Lee2022()(volume, mask, CaseGenerator([1, 2])).shape
    torch.Size([2, 1, 5, 15, 15])
    """

    def __init__(
        self,
        *,
        p: float = 0.9,
        elastic: float = 0.00024,
        elastic_smooth: float = 50 / 270,
        elastic_corners: float = 5 / 270,
        elastic_p: float = 0.9,
        distortion_p: float = 0.5,
        optical: float = 0.03,
        optical_weight: float = 0.9,
        grid: float = 0.02,
        grid_cells: int = 5,
        grid_weight: float = 0.5,
        shift: float = 0.05,
        scale: float = 0.1,
        rotate_deg: float = 5.0,
        move_p: float = 0.7,
        crop: float = 256 / 270,
        flip: float = 0.5,
        clahe: float = 2.0,
        clahe_tiles: int = 8,
        clahe_p: float = 0.8,
        brightness: float = 0.1,
        contrast: float = 0.1,
        shade_p: float = 0.8,
        blur_p: float = 0.1,
        motion: int = 3,
        motion_weight: float = 0.9,
        median: int = 3,
        median_weight: float = 0.5,
        gaussian: int = 3,
        gaussian_weight: float = 0.5,
        box: bool = False,
    ) -> None:
        self.p = check_range("p", p, low=0, high=1)
        self.elastic = check_range("elastic", elastic, low=0, high=0.2)
        self.elastic_smooth = check_range("elastic_smooth", elastic_smooth, low=SMOOTHEST, high=1)
        self.elastic_corners = check_range("elastic_corners", elastic_corners, low=0, high=0.2)
        self.elastic_p = check_range("elastic_p", elastic_p, low=0, high=1)
        self.distortion_p = check_range("distortion_p", distortion_p, low=0, high=1)
        self.optical = check_range("optical", optical, low=0, high=1)
        self.grid = check_range("grid", grid, low=0, high=0.9)
        self.grid_cells = check_count("grid_cells", grid_cells, low=1, high=MOST_CELLS)
        self.distortions = check_weights(optical_weight=optical_weight, grid_weight=grid_weight)
        self.shift = check_range("shift", shift, low=0, high=1)
        self.scale = check_range("scale", scale, low=0, high=0.9)
        self.rotate_deg = check_range("rotate_deg", rotate_deg, low=0, high=180)
        self.move_p = check_range("move_p", move_p, low=0, high=1)
        self.crop = check_range("crop", crop, low=0.25, high=1)
        self.flip = check_range("flip", flip, low=0, high=1)
        self.clahe = check_range("clahe", clahe, low=0, high=256)
        self.clahe_tiles = check_count("clahe_tiles", clahe_tiles, low=1, high=64)
        self.clahe_p = check_range("clahe_p", clahe_p, low=0, high=1)
        self.brightness = check_range("brightness", brightness, low=0, high=1)
        self.contrast = check_range("contrast", contrast, low=0, high=1)
        self.shade_p = check_range("shade_p", shade_p, low=0, high=1)
        self.blur_p = check_range("blur_p", blur_p, low=0, high=1)
        self.motion = check_kernel("motion", motion)
        self.median = check_kernel("median", median)
        self.gaussian = check_kernel("gaussian", gaussian)
        self.blurs = check_weights(
            motion_weight=motion_weight,
            median_weight=median_weight,
            gaussian_weight=gaussian_weight,
        )
        self.box = box

    def eval_view(self, volume: Volume) -> Warped:
        """Return the middle window."""
        height, width = self._window(volume)
        top, left = (volume.shape[3] - height) // 2, (volume.shape[4] - width) // 2
        return cut(volume, top=top, left=left, window=(height, width))

    def __call__(self, volume: Volume, mask: SliceMask, generator: CaseGenerator) -> Warped:
        """Draw for every case on the host, so that only what was drawn is computed."""
        amounts = dict(zip(AMOUNTS, generator.choices(len(AMOUNTS)).T, strict=True))
        noise = generator.normal(2, WAVES, WAVES)
        window = self._window(volume)
        dtype = torch.promote_types(volume.dtype, torch.float32)
        # Autocast would round positions, kernels and intensities to bfloat16.
        with torch.autocast(volume.device.type, enabled=False):
            changed = warp(
                volume.to(dtype),
                self._warp(amounts, volume, window),
                noise,
                window=window,
                smooth=self.elastic_smooth,
            )
            changed = self._shade(changed, mask, amounts)
            changed = self._blur(changed, amounts)
        return changed.to(volume.dtype)

    def _window(self, volume: Volume) -> tuple[int, int]:
        height, width = volume.shape[3:]
        return round(self.crop * height), round(self.crop * width)

    def _warp(self, amounts: Amounts, volume: Volume, window: tuple[int, int]) -> Warp:
        """Turn numbers from 0 to 1 into what they stand for; 0 where a step is not taken."""
        some = amounts["any"] < self.p
        elastic = some & (amounts["elastic_any"] < self.elastic_p)
        moved = some & (amounts["moved"] < self.move_p)
        distorted = some & (amounts["distorted"] < self.distortion_p)
        optical = amounts["which_distortion"] < self.distortions[0]
        corners = np.stack([_signed(amounts[f"corner_{n}"]) for n in range(6)], axis=1)
        cells = [_signed(amounts[f"cell_{n}"]) for n in range(2 * self.grid_cells)]
        rows, columns = (
            side - kept + 1 for side, kept in zip(volume.shape[3:], window, strict=True)
        )
        return Warp(
            corners=self.elastic_corners * (corners * elastic[:, None]).reshape(-1, 3, 2),
            elastic=self.elastic * amounts["elastic"] * elastic,
            optical=self.optical * _signed(amounts["optical"]) * (distorted & optical),
            stretch=self.grid
            * (np.stack(cells, axis=1) * (distorted & ~optical)[:, None]).reshape(
                -1, 2, self.grid_cells
            ),
            growth=self.scale * _signed(amounts["growth"]) * moved,
            angle=math.radians(self.rotate_deg) * _signed(amounts["angle"]) * moved,
            right=self.shift * _signed(amounts["right"]) * moved,
            down=self.shift * _signed(amounts["down"]) * moved,
            top=np.floor(amounts["top"] * rows).astype(int),
            left=np.floor(amounts["left"] * columns).astype(int),
            mirrored=some & (amounts["mirrored"] < self.flip),
        )

    def _shade(self, volume: Volume, mask: SliceMask, amounts: Amounts) -> Volume:
        """Equalise, then change contrast about the lowest intensity, and brightness."""
        some = amounts["any"] < self.p
        limits = self.clahe * amounts["clahe"] * (some & (amounts["equalised"] < self.clahe_p))
        shaded = some & (amounts["shaded"] < self.shade_p)
        if not (limits.any() or shaded.any()):
            return volume
        low, span = low_and_span(volume, mask)
        changed = clahe(
            volume, mask, low=low, span=span, limits=limits.tolist(), tiles=self.clahe_tiles
        )
        factor = 1 + self.contrast * _signed(amounts["contrast"]) * shaded
        added = self.brightness * _signed(amounts["brightness"]) * shaded
        contrast, brightness = send(
            torch.from_numpy(np.stack([factor, added])).to(volume.dtype), volume.device
        )
        return linear(
            changed, mask, centre=low, unit=span, contrast=contrast, brightness=brightness
        )

    def _blur(self, volume: Volume, amounts: Amounts) -> Volume:
        """Filter the cases that drew a blur."""
        blurred = (amounts["any"] < self.p) & (amounts["blurred"] < self.blur_p)
        if not blurred.any():
            return volume
        choice = np.searchsorted(np.cumsum(self.blurs[:-1]), amounts["which_blur"], side="right")
        angle = math.pi * amounts["motion"]
        cases = list(volume.split(1))
        for case in np.flatnonzero(blurred).tolist():
            cases[case] = self._filtered(cases[case], int(choice[case]), float(angle[case]))
        return torch.cat(cases)

    def _filtered(self, volume: Volume, choice: int, angle: float) -> Volume:
        size = (self.motion, self.median, self.gaussian)[choice]
        if size == 1:
            return volume
        if choice == 1:
            return blur.median(volume, size)
        smooth = blur.box_kernel if self.box else blur.gaussian_kernel
        kernel = smooth(size) if choice == 2 else blur.motion_kernel(size, angle)
        return blur.convolve(volume, kernel)


def _signed(amount: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    return 2 * amount - 1


__getattr__ = renamed(__name__, {"Rectal": "Lee2022"})
