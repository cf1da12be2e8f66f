"""Distractors in the phantom's mesorectal fat, in both classes: vessels, nodes, spicules."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from volbench.datasets.phantom.difficulty import Difficulty

FLUID = 1.5  # in the lumen, the bladder, slow veins, and mucin: the brightest there is
TUMOUR, FIBROSIS, FLOWING_BLOOD = 0.42, 0.2, 0.06

Contour = Float[np.ndarray, "plane angle"]


@dataclass(frozen=True)
class Strand:
    """A capsule in the fat: a vessel, a node (short and thick) or a spicule (thin).

    Attributes:
        ends_mm: Both ends, each as (slice, row, column) position from the stack's centre.
        signal: Relative, as all signals are; fat has 0.68.
    """

    ends_mm: Float[np.ndarray, "2 3"]
    radius_mm: float
    signal: float


def draw_strands(
    planes: Float[np.ndarray, " plane"],
    axis_mm: Float[np.ndarray, "plane 2"],
    muscularis: Contour,
    front_angle: float,
    difficulty: Difficulty,
    rng: np.random.Generator,
) -> tuple[Strand, ...]:
    """Draw what lies in the fat of both classes alike and may be taken for a breach."""
    angles = muscularis.shape[1]

    def place(angle: float, plane: int, beyond: float) -> Float[np.ndarray, " 3"]:
        """A point ``beyond`` millimetres outside the wall."""
        column = int((angle + np.pi) / (2 * np.pi) * angles) % angles
        radius = muscularis[plane, column] + beyond
        row, col = axis_mm[plane] + radius * np.array([np.sin(angle), np.cos(angle)])
        return np.array([planes[plane], row, col])

    def anywhere() -> tuple[float, int]:
        return float(rng.uniform(-np.pi, np.pi)), int(rng.integers(len(planes)))

    found: list[Strand] = []
    for mean, signal in zip(difficulty.vessels, (FLOWING_BLOOD, FLUID), strict=True):
        for _ in range(rng.poisson(mean)):
            radius = rng.uniform(0.8, 2.0)
            middle = place(*anywhere(), rng.uniform(radius, 14.0))
            half = rng.normal(0, (8.0, 4.0, 4.0))
            found.append(Strand(np.stack([middle - half, middle + half]), radius, signal))
    for _ in range(rng.poisson(difficulty.nodes)):
        radius = rng.uniform(1.8, 4.0)
        middle = place(*anywhere(), radius + rng.uniform(2.0, 10.0))
        half = rng.normal(0, 1.2, 3)
        content = FLUID if rng.random() < 0.5 else TUMOUR
        found.append(Strand(np.stack([middle - half, middle + half]), radius, content))
    for _ in range(rng.poisson(difficulty.spicules)):
        angle = front_angle + rng.normal(0, 0.7)
        angle = float((angle + np.pi) % (2 * np.pi) - np.pi)
        plane = int(rng.integers(len(planes)))
        ends = place(angle, plane, -0.5), place(angle, plane, rng.uniform(4.0, 12.0))
        tilt = np.array([rng.normal(0, 2.0), 0, 0])
        found.append(Strand(np.stack([ends[0], ends[1] + tilt]), rng.uniform(0.4, 0.8), FIBROSIS))
    return tuple(found)
