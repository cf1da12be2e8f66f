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
ALIKE = 0.05
"""Difference from the signal of fat that counts as much as one radius of the rectum of distance."""


def exchange(signal: Plane, beyond: Plane, within: Plane, *, fat: float) -> Plane:
    """Move what lies beyond the wall inside it, and what makes room for it outside.

    The partners inside are those near the front that look most like the fat around it, which is
    mostly submucosa: outside they are inconspicuous, and inside a tumour takes their place.

    Args:
        signal: Of one slice, before the scanner adds anything.
        beyond: Share of each pixel covered by the tumour beyond the muscularis.
        within: Share of each pixel inside the submucosa's outer surface.
        fat: The signal of fat.

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
    distance = np.hypot(*(inside - middle).T) / np.sqrt(len(inside) / np.pi)
    rows, columns = inside.T
    unlike = (signal[rows, columns] - fat) / ALIKE
    inside = _from_the_middle(inside[np.argsort(distance**2 + unlike**2, kind="stable")[:number]])
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
