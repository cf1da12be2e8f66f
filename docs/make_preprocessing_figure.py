"""Draw docs/images/preprocessing.png: what N4, cropping and resizing do to two brain volumes.

    python docs/make_preprocessing_figure.py FOLDER

FOLDER holds brain1_image.nrrd, brain1_label.nrrd and the same for brain2, from the test data of
the pyradiomics project (https://github.com/AIM-Harvard/pyradiomics, BSD-3-Clause).
"""

import argparse
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle

from volbench.data.preprocessing.n4 import log_bias_field
from volbench.data.preprocessing.operations import preprocess
from volbench.data.preprocessing.options import Preprocessing
from volbench.data.reading import read_case
from volbench.interfaces import Case, Files
from volbench.types import Scan

CROP = Preprocessing(size=128, crop="roi", margin=0.25, n4=True, normalize="percentile")
WHOLE = Preprocessing(size=128, crop="none", n4=True, normalize="percentile")
TITLES = ("as stored", "estimated field", "after N4", "whole slice, 128 × 128", "crop, 128 × 128")
ORANGE = "#e8833a"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    plt.rcParams.update({"font.family": "DejaVu Sans", "font.size": 10})
    figure, axes = plt.subplots(2, 5, figsize=(13.5, 5.9), layout="constrained")
    for row, name in zip(axes, ("brain1", "brain2"), strict=True):
        files = Files((folder / f"{name}_image.nrrd",), folder / f"{name}_label.nrrd")
        image = draw(row, name, read_case(Case(name, name, "tumour", files)))
    for axis, title in zip(axes[0], TITLES, strict=True):
        axis.set_title(title, fontsize=11, pad=8)
    bar = figure.colorbar(image, ax=axes, location="right", shrink=0.6, pad=0.01)
    bar.set_label("gain of the estimated field")
    bar.outline.set_visible(False)
    out = Path(__file__).parent / "images" / "preprocessing.png"
    figure.savefig(out, dpi=110)
    print(out)


def draw(row: np.ndarray, name: str, scan: Scan) -> matplotlib.image.AxesImage:
    """Fill one row with the slice that shows most of the tumour; return the field's image."""
    number = int(scan.mask.sum(axis=(1, 2)).argmax())
    image, mask = scan.image[0], scan.mask[number]
    field = np.exp(log_bias_field(image, scan.spacing_mm))
    corrected = image / field
    brightest = np.percentile(image, 98)  # below the fat, which is far brighter
    grey = {"cmap": "gray", "vmin": 0}
    row[0].imshow(image[number], vmax=brightest, **grey)
    outline(row[0], mask)
    image = row[1].imshow(field[number], cmap="RdBu_r", vmin=0.8, vmax=1.2)
    row[2].imshow(corrected[number], vmax=brightest, **grey)
    outline(row[2], mask)
    for axis, options in ((row[3], WHOLE), (row[4], CROP)):
        done = preprocess(scan, options)
        axis.imshow(done.image[0, number], vmax=0.75 if options is WHOLE else 1, **grey)
        outline(axis, done.mask[number])
        axis.set_xlabel(f"{done.spacing_mm[1]:.2f} × {done.spacing_mm[2]:.2f} mm pixels")
    frame(row[2], scan.mask)
    rows, columns = image.shape[1:]
    spacing = " × ".join(f"{mm:.2f}" for mm in scan.spacing_mm[1:])
    row[0].set_ylabel(f"{name}, slice {number} of {len(image)}")
    row[0].set_xlabel(f"{rows} × {columns}, {spacing} mm pixels")
    row[1].set_xlabel(f"{field[number].min():.2f} to {field[number].max():.2f}")
    row[2].set_xlabel("dashed: the crop")
    for axis in row:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    return image


def outline(axis: plt.Axes, mask: np.ndarray) -> None:
    axis.contour(mask, levels=[0.5], colors=[ORANGE], linewidths=1.1)


def frame(axis: plt.Axes, mask: np.ndarray) -> None:
    """Draw the crop of ``CROP`` around the whole region, on pixels that are square."""
    shadow = mask.any(axis=0)
    (top, bottom), (left, right) = (
        (found[0], found[-1] + 1)
        for found in (np.flatnonzero(shadow.any(axis=1)), np.flatnonzero(shadow.any(axis=0)))
    )
    side = max(bottom - top, right - left) * (1 + 2 * CROP.margin)
    corner = ((left + right - side) / 2 - 0.5, (top + bottom - side) / 2 - 0.5)
    square = Rectangle(corner, side, side, fill=False, edgecolor=ORANGE, linestyle="--", lw=1.3)
    axis.add_patch(square)


if __name__ == "__main__":
    main()
