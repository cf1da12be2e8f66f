"""Smooth random fields in millimetres: the same pattern whatever the grid it is sampled on."""

import numpy as np
from jaxtyping import Float

Points = Float[np.ndarray, " point"]
Slices = Float[np.ndarray, " slice"]
Rows = Float[np.ndarray, " height"]
Columns = Float[np.ndarray, " width"]


def smooth_field(
    rng: np.random.Generator,
    positions: tuple[Slices, Rows, Columns],
    *,
    extent_mm: tuple[float, float, float],
    correlation_mm: tuple[float, float, float],
) -> Float[np.ndarray, "slice height width"]:
    """Draw a Gaussian field with zero mean and unit variance at every point.

    White noise on a lattice as coarse as the correlation is blended with Gaussian weights, axis by
    axis. What is drawn depends on ``extent_mm`` only, so another grid shows the same field.

    Args:
        rng: Where the lattice's values come from.
        positions: Slice, row and column positions in millimetres from the centre.
        extent_mm: Size of the box that holds all positions.
        correlation_mm: Standard deviation of the weights per axis.
    """
    axes = [
        _weights(at, extent, correlation)
        for at, extent, correlation in zip(positions, extent_mm, correlation_mm, strict=True)
    ]
    lattice = rng.standard_normal([axis.shape[1] for axis in axes], dtype=np.float32)
    along_slices = np.tensordot(axes[0], lattice, axes=1)
    blended: np.ndarray = axes[1] @ along_slices @ axes[2].T
    return blended


def smooth_curves(
    rng: np.random.Generator, at_mm: Points, number: int, *, extent_mm: float, correlation_mm: float
) -> Float[np.ndarray, "point curve"]:
    """Draw ``number`` smooth functions of one position, each with unit variance."""
    weights = _weights(at_mm, extent_mm, correlation_mm)
    lattice = rng.standard_normal((weights.shape[1], number), dtype=np.float32)
    curves: np.ndarray = weights @ lattice
    return curves


def _weights(
    at_mm: Points, extent_mm: float, correlation_mm: float
) -> Float[np.ndarray, "point knot"]:
    """Gaussian weights of lattice knots, scaled so that blended white noise keeps its variance."""
    reach = int(np.ceil(extent_mm / 2 / correlation_mm)) + 3
    knots = np.arange(-reach, reach + 1) * correlation_mm
    weights = np.exp(-0.5 * ((at_mm[:, None] - knots) / correlation_mm) ** 2)
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    single: np.ndarray = weights.astype(np.float32)
    return single
