"""Draw docs/images/augmentations.png: each of the fourteen augmentations at three strengths.

    python docs/make_augmentation_sheet.py

The slice is one of the phantom's at 128 x 128 pixels. Along a row only the strength changes, and
each amount is drawn at its largest. Printed in bold is the strength of the released code.
"""

import io
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from volbench._utils.case_generator import CaseGenerator
from volbench.augmentations.lee2022 import AMOUNTS, Lee2022
from volbench.datasets.phantom import Phantom

STEPS = ("elastic_p", "distortion_p", "move_p", "flip", "clahe_p", "shade_p", "blur_p")
OFF = {"p": 1.0, "crop": 1.0, "shift": 0.0, "scale": 0.0, "rotate_deg": 0.0}
OFF |= {"brightness": 0.0, "contrast": 0.0} | dict.fromkeys(STEPS, 0.0)
MOVE, SHADE, BLUR = {"move_p": 1.0}, {"shade_p": 1.0}, {"blur_p": 1.0}

# Name, option, three strengths (the released code's first or in the middle), what it needs on.
ROWS = (
    ("elastic", "elastic", (0.00024, 0.01, 0.03), {"elastic_p": 1.0}),
    ("optical distortion", "optical", (0.03, 0.2, 0.6), {"distortion_p": 1.0, "grid_weight": 0}),
    ("grid distortion", "grid", (0.02, 0.15, 0.4), {"distortion_p": 1.0, "optical_weight": 0}),
    ("shift", "shift", (0.05, 0.1, 0.2), MOVE),
    ("scale", "scale", (0.1, 0.2, 0.4), MOVE),
    ("rotate", "rotate_deg", (5, 15, 45), MOVE),
    ("crop", "crop", (256 / 270, 0.75, 0.5), {}),
    ("horizontal flip", "flip", (0, 0.5, 1), {}),
    ("CLAHE", "clahe", (0.5, 2.0, 8.0), {"clahe_p": 1.0}),
    ("brightness", "brightness", (0.1, 0.2, 0.4), SHADE),
    ("contrast", "contrast", (0.1, 0.3, 0.8), SHADE),
    ("motion blur", "motion", (3, 5, 9), BLUR | {"median_weight": 0, "gaussian_weight": 0}),
    ("median blur", "median", (3, 5, 9), BLUR | {"motion_weight": 0, "gaussian_weight": 0}),
    ("Gaussian blur", "gaussian", (3, 5, 9), BLUR | {"motion_weight": 0, "median_weight": 0}),
)
MOVING = 8  # the first rows move pixels; a grid on the slice shows how
ORANGE = np.array([0.95, 0.55, 0.2])


class AtTheirLargest(CaseGenerator):
    """Takes every step, and draws every amount at its largest, but for points and cells."""

    def choices(self, count: int) -> np.ndarray:
        """Return the numbers that stand for it."""
        drawn = super().choices(count)
        gates = ("any", "elastic_any", "distorted", "moved", "equalised", "shaded", "blurred")
        for place, name in enumerate(AMOUNTS):
            if not name.startswith(("corner", "cell", "which")):
                drawn[:, place] = 0.0 if name in gates else 1 - 1e-9
        drawn[:, AMOUNTS.index("mirrored")] = 0.4
        drawn[:, AMOUNTS.index("motion")] = 0.25
        drawn[:, AMOUNTS.index("top")] = 0.5
        return drawn


def main() -> None:
    volume = phantom_slice()
    plt.rcParams.update({"font.family": "DejaVu Sans", "font.size": 9})
    figure, axes = plt.subplots(len(ROWS), 4, figsize=(9, 29.5), facecolor="white")
    for number, (row, (name, option, strengths, on)) in enumerate(zip(axes, ROWS, strict=True)):
        label = f"{number + 1}. {name}" + (f"\n{option}" if option not in name else "")
        show(row[0], volume, grid=number < MOVING)
        row[0].set_title("original" if number == 0 else "", fontsize=10)
        row[0].set_ylabel(label, fontsize=10, labelpad=6)
        default = Lee2022.__init__.__kwdefaults__[option]
        for axis, strength in zip(row[1:], strengths, strict=True):
            rectal = Lee2022(**(OFF | on | {option: strength}))
            changed = rectal(volume, torch.ones(1, 1, dtype=torch.bool), AtTheirLargest([7]))
            show(axis, changed, grid=number < MOVING)
            weight = "bold" if strength == default else "normal"
            axis.set_title(f"{strength:.3g}", fontsize=10, fontweight=weight, pad=4)
    figure.subplots_adjust(
        left=0.065, right=0.995, top=0.992, bottom=0.003, wspace=0.03, hspace=0.11
    )
    out = Path(__file__).parent / "images" / "augmentations.png"
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=100)
    # 40 shades look the same, at a quarter of the bytes.
    Image.open(drawn).convert("RGB").quantize(40, dither=Image.Dither.NONE).save(out, optimize=True)
    print(out, f"{out.stat().st_size / 1000:.0f} kB")


def phantom_slice() -> torch.Tensor:
    """A tumour's slice, and in a second channel lines 16 pixels apart, which move with it."""
    case = Phantom(patients=4, size=128, slices=12).volumes[1]
    image = case.render().image[0, case.patient.deepest[0]]
    lines = np.zeros_like(image)
    lines[7::16] = lines[:, 7::16] = 1
    image = np.minimum(image / np.quantile(image, 0.995), 1)
    return torch.from_numpy(np.stack([image, lines]))[None, :, None]


def show(axis: plt.Axes, volume: torch.Tensor, *, grid: bool) -> None:
    """Draw a slice; white is a quarter above the original's highest intensity, to leave room."""
    image, lines = volume[0, :, 0].numpy()
    colour = np.repeat(np.clip(image / (1 if grid else 1.25), 0, 1)[..., None], 3, axis=-1)
    if grid:
        share = 0.6 * np.clip(lines, 0, 1)[..., None]
        colour = (1 - share) * colour + share * ORANGE
    axis.imshow(colour, interpolation="nearest")
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)


if __name__ == "__main__":
    main()
