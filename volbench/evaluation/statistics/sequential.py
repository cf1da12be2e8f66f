r"""Boundaries for looking at a comparison several times (Lan & DeMets, 1983).

A test that is repeated while data come in claims falsely more often than its level says. A spending
function says how much of the level may be used up by each look; the boundary of a look is the
$|z|$ that leaves just so much, given that no earlier look has crossed its own. The statistic is
that of a sum of independent increments, as the mean difference over a growing number of folds is.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float
from scipy import stats
from scipy.optimize import brentq

from volbench.errors import UsageError

Spending: TypeAlias = Literal["pocock", "obrien_fleming"]
"""``pocock`` spends early, so that what is clearly worse stops soon; ``obrien_fleming`` late."""

STEP = 0.02
"""Distance of the grid points, in standard deviations of the whole."""


def spent(
    times: Float[np.ndarray, " look"], alpha: float, spending: Spending
) -> Float[np.ndarray, " look"]:
    """Level used up by each look, at a share ``times`` of the whole information.

    >>> [round(float(level), 4) for level in spent(np.array([0.5, 1.0]), 0.05, "pocock")]
    [0.031, 0.05]
    """
    if spending == "pocock":
        return np.asarray(alpha * np.log1p((np.e - 1) * times))
    return np.asarray(4 * stats.norm.sf(stats.norm.isf(alpha / 4) / np.sqrt(times)))


def boundaries(
    times: Sequence[float], *, alpha: float = 0.05, spending: Spending = "pocock"
) -> Float[np.ndarray, " look"]:
    """Compute the two-sided boundary of each look, by numerical integration.

    Args:
        times: Share of the whole information at each look, increasing, at most 1.
        alpha: Level of all looks together.
        spending: How it is divided among them.

    Raises:
        UsageError: the times do not increase within (0, 1].

    >>> boundaries([0.2, 0.4, 0.6, 0.8, 1.0], spending="obrien_fleming").round(2)
    array([4.88, 3.36, 2.68, 2.29, 2.03])
    """
    at = np.asarray(times, dtype=np.float64)
    if not len(at) or at[0] <= 0 or at[-1] > 1 or (np.diff(at) <= 0).any():
        raise UsageError(f"looks at {list(times)}: give increasing shares of the whole, up to 1")
    levels = np.diff(spent(at, alpha, spending), prepend=0.0)
    found = [float(stats.norm.isf(levels[0] / 2))]
    grid = _inside(found[0] * np.sqrt(at[0]))
    density = stats.norm.pdf(grid, scale=np.sqrt(at[0]))
    for place in range(1, len(at)):
        step = np.sqrt(at[place] - at[place - 1])
        mass = density * _widths(grid)
        root = np.sqrt(at[place])
        rest = (grid, mass, float(step), float(levels[place]))
        found.append(float(brentq(_excess, 0.0, 40.0 * root, args=rest)) / root)
        following = _inside(found[-1] * root)
        distances = (following[:, None] - grid[None]) / step
        density = stats.norm.pdf(distances) / step @ mass
        grid = following
    return np.array(found)


def _excess(
    edge: float,
    grid: Float[np.ndarray, " point"],
    mass: Float[np.ndarray, " point"],
    step: float,
    level: float,
) -> float:
    """Probability of first leaving at this look beyond an edge, less the level it may have."""
    beyond = stats.norm.sf((edge - grid) / step) + stats.norm.cdf((-edge - grid) / step)
    return float((mass * beyond).sum() - level)


def _inside(edge: float) -> Float[np.ndarray, " point"]:
    """Points between the boundaries."""
    return np.linspace(-edge, edge, 2 * max(50, int(np.ceil(edge / STEP))) + 1)


def _widths(grid: Float[np.ndarray, " point"]) -> Float[np.ndarray, " point"]:
    """Weights of the trapezoidal rule."""
    width = np.full(len(grid), grid[1] - grid[0])
    width[[0, -1]] /= 2
    return width
