"""Slice images of a report, windowed robustly against outliers."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from volbench.data.cache.packed_voxels import Prepared, PreparedCase

SIDE = 160
"""Pixels of an image at most; smaller slices stay as they are."""

QUALITY = 80
WINDOW = (1.0, 99.0)
"""Percentiles of a volume that are black and white."""

Heat = Float[np.ndarray, "row column"]
Grey = UInt8[np.ndarray, "height width"]
Greys = UInt8[np.ndarray, "slice height width"]


@dataclass(frozen=True)
class SliceImage:
    """An image and what it shows."""

    uri: str
    text: str


def slices_of(case: PreparedCase, *, most: int = 3) -> tuple[int, ...]:
    """The slices to show: the representative ones, or some spread over the middle."""
    if case.representative:
        return case.representative[:most]
    middle = [round((case.slices - 1) * (n + 1) / (most + 1)) for n in range(most)]
    return tuple(dict.fromkeys(middle))


def slice_images(prepared: Prepared, index: int) -> list[SliceImage]:
    """Some slices of a case, first channel."""
    case = prepared.cases[index]
    grey = windowed(prepared.volume(index)[:, 0])
    return [
        SliceImage(_uri(Image.fromarray(grey[number])), f"{case.name}, slice {number + 1}")
        for number in slices_of(case)
    ]


def windowed(volume: Float[np.ndarray, "slice height width"]) -> Greys:
    """Turn a volume into grey, in one window for all of its slices."""
    values = volume.astype(np.float32)
    low, high = np.percentile(values, WINDOW)
    shares = (values - low) / max(float(high - low), 1e-6)
    return np.asarray(np.clip(255 * shares, 0, 255).astype(np.uint8))


def overlay(grey: Grey, heat: Heat, *, text: str) -> SliceImage:
    """A slice with a coarser map from 0 to 1 laid over it, in colours the colour-blind can read."""
    from matplotlib import colormaps

    image = Image.fromarray(grey).convert("RGB")
    size = image.size
    shares = Image.fromarray((255 * np.clip(heat, 0, 1)).astype(np.uint8))
    strength = np.asarray(shares.resize(size, Image.Resampling.BILINEAR)) / 255.0
    color = (255 * colormaps["inferno"](strength)[..., :3]).astype(np.float32)
    weight = 0.65 * strength[..., None]
    mixed = np.asarray(image, dtype=np.float32) * (1 - weight) + color * weight
    return SliceImage(_uri(Image.fromarray(mixed.astype(np.uint8))), text)


def plain(grey: Grey, *, text: str) -> SliceImage:
    """A slice as it is."""
    return SliceImage(_uri(Image.fromarray(grey)), text)


def indices(prepared: Prepared, cases: Sequence[str]) -> list[int | None]:
    """Where cases are in the prepared data."""
    place = {case.name: index for index, case in enumerate(prepared.cases)}
    return [place.get(case) for case in cases]


def _uri(image: Image.Image) -> str:
    if max(image.size) > SIDE:
        image = image.copy()
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    stored = io.BytesIO()
    small = max(image.size) < 48  # a few pixels are smaller, and sharper, without loss
    image.save(stored, "PNG" if small else "JPEG", **({} if small else {"quality": QUALITY}))
    kind = "png" if small else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(stored.getvalue()).decode()}"
