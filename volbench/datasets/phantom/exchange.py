"""Version 2's only difference between the classes: where a tumour's front lies, not what it is.

Every patient is painted with a front beyond the wall. In a T2 its pixels exchange their values, one
for one, with as many pixels inside the wall. Both classes then have the same values in every slice,
so that no function of a histogram can tell them apart before the coil's field and the noise.
"""

import numpy as np
from jaxtyping import Float, Int

Plane = Float[np.ndarray, "height width"]
Places = Int[np.ndarray, "place 2"]

BEYOND_FROM = 0.3
"""Share of a pixel beyond the wall from which on it is exchanged."""
WITHIN_FROM = 0.7
"""Share of a pixel inside the submucosa from which on it may be exchanged."""


def exchange(
    signal: Plane,
    beyond: Plane,
    within: Plane,
    *,
    pixel_mm: float,
    fat: float,
    likeness_mm: float,
) -> Plane:
    """Move what lies beyond the wall inside it, and what makes room for it outside.

    The partners inside are near the front and look like the fat around it, as submucosa does:
    outside they are inconspicuous, and inside a tumour takes their place.

    Args:
        signal: Of one slice, before the scanner adds anything.
        beyond: Share of each pixel covered by the tumour beyond the muscularis.
        within: Share of each pixel inside the submucosa's outer surface.
        pixel_mm: Size of a pixel.
        fat: The signal of fat.
        likeness_mm: Distance that a difference of 1 from the signal of fat outweighs.

    Returns:
        The same values in other places.
    """
    outside = np.argwhere(beyond >= BEYOND_FROM)
    inside = np.argwhere((within >= WITHIN_FROM) & (beyond < BEYOND_FROM))
    number = min(len(outside), len(inside))
    if number == 0:
        return signal
    outside = _from_the_middle(outside)[:number]
    middle = outside.mean(axis=0)
    distance_mm = np.hypot(*(inside - middle).T) * pixel_mm
    unlike_mm = (signal[tuple(inside.T)] - fat) * likeness_mm
    best = np.argsort(np.hypot(distance_mm, unlike_mm), kind="stable")[:number]
    inside = _from_the_middle(inside[best])
    moved = signal.copy()
    moved[tuple(outside.T)], moved[tuple(inside.T)] = (
        signal[tuple(inside.T)],
        signal[tuple(outside.T)],
    )
    return moved


def _from_the_middle(places: Places) -> Places:
    """Sort places by their distance from their common middle."""
    distance = np.hypot(*(places - places.mean(axis=0)).T)
    order = np.argsort(distance, kind="stable")
    return places[order]
