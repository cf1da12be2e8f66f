"""The phantom's anatomy: radii around the axis of the rectum, and the tumour in its wall.

Everything around the lumen is star-shaped, so a contour is a table of radii [plane, angle] and the
volume of the tumour is an integral over two of them. Planes are finer than slices.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from volbench.datasets.phantom.cohort import Patient
from volbench.datasets.phantom.difficulty import Difficulty
from volbench.datasets.phantom.fields import smooth_curves
from volbench.datasets.phantom.strands import Contour, Strand, draw_strands

PLANES_PER_SLICE = 4
ANGLES = 240
RECTUM_EXTENT_MM = 160.0  # of the axis along which contours are defined
_MEASURE_MM = np.arange(-75.0, 75.1, 1.5)  # planes on which the whole tumour is measured


@dataclass(frozen=True)
class Anatomy:
    """Contours on every plane of the stack, as distances in millimetres from the rectum's axis.

    Attributes:
        axis_mm: Row and column of the rectum's axis on each plane.
        lumen: Surface of the mucosa.
        submucosa: Where the muscularis begins.
        muscularis: Where the muscularis ends.
        fascia: Where the mesorectal fat ends.
        tumour_inner: Surface of the tumour in the lumen.
        tumour_outer: Front of the tumour; beyond ``muscularis`` only in T3.
        tumour_volume_mm3: Of the whole tumour, measured from the contours; in version 2 without its
            front, whose size therefore does not follow the volume.
    """

    axis_mm: Float[np.ndarray, "plane 2"]
    lumen: Contour
    submucosa: Contour
    muscularis: Contour
    fascia: Contour
    tumour_inner: Contour
    tumour_outer: Contour
    tumour_volume_mm3: float
    strands: tuple[Strand, ...]


def slice_positions(patient: Patient) -> Float[np.ndarray, " slice"]:
    """Centres of the slices in millimetres from the centre of the stack."""
    return (np.arange(patient.slices) - (patient.slices - 1) / 2) * patient.slice_thickness_mm


def grow(patient: Patient, difficulty: Difficulty, rng: np.random.Generator) -> Anatomy:
    """Draw the anatomy of one patient; the tumour gets the volume the patient has."""
    within = ((np.arange(PLANES_PER_SLICE) + 0.5) / PLANES_PER_SLICE - 0.5) * (
        patient.slice_thickness_mm
    )
    planes = (slice_positions(patient)[:, None] + within).ravel()
    at_mm = np.concatenate([planes, _MEASURE_MM])
    front = _Front.draw(patient, difficulty, rng)
    wall = _Wall.draw(at_mm, front, rng)
    inner, outer, volume_mm3 = _fit(patient, wall, front, rng)
    shown = slice(len(planes))
    drift = smooth_curves(rng, planes, 2, extent_mm=RECTUM_EXTENT_MM, correlation_mm=12.0)
    axis = (3.0 * drift + rng.normal(0, 4.0, 2)).astype(np.float32)
    return Anatomy(
        axis_mm=axis,
        lumen=wall.lumen[shown],
        submucosa=wall.submucosa[shown],
        muscularis=wall.muscularis[shown],
        fascia=wall.fascia[shown],
        tumour_inner=inner[shown],
        tumour_outer=outer[shown],
        tumour_volume_mm3=volume_mm3,
        strands=draw_strands(planes, axis, wall.muscularis[shown], front.angle, difficulty, rng),
    )


@dataclass(frozen=True)
class _Front:
    """Where the tumour goes deepest, and how deep: the only thing that differs between classes."""

    angle: float
    centre_mm: float
    half_length_mm: float
    half_width_mm: float
    sharpness_mm: float
    breach_mm: float | None
    invasion: float
    bulge_mm: float

    @classmethod
    def draw(cls, patient: Patient, difficulty: Difficulty, rng: np.random.Generator) -> "_Front":
        deepest = slice_positions(patient)[list(patient.deepest)]
        breach = float(rng.uniform(*difficulty.breach_depth_mm))
        return cls(
            angle=float(rng.uniform(-np.pi, np.pi)),
            centre_mm=float(deepest.mean()),
            half_length_mm=len(deepest) * patient.slice_thickness_mm / 2,
            half_width_mm=float(rng.uniform(*difficulty.front_half_width_mm)),
            sharpness_mm=0.3 * patient.slice_thickness_mm,
            breach_mm=breach if patient.grows_outwards else None,
            invasion=float(rng.uniform(*difficulty.t2_invasion)),
            bulge_mm=float(rng.uniform(*difficulty.bulge_mm)),
        )


@dataclass(frozen=True)
class _Wall:
    """The healthy rectum at any position along its axis."""

    at_mm: Float[np.ndarray, " plane"]
    angles: Float[np.ndarray, " angle"]
    lumen: Contour
    submucosa: Contour
    muscularis: Contour
    fascia: Contour

    @classmethod
    def draw(
        cls, at_mm: Float[np.ndarray, " plane"], front: _Front, rng: np.random.Generator
    ) -> "_Wall":
        angles = (np.arange(ANGLES) + 0.5) * (2 * np.pi / ANGLES) - np.pi
        radius = rng.uniform(22.0, 29.0)
        muscularis = radius * (1 + _waves(rng, at_mm, angles, (0.05, 0.06, 0.03, 0.02)))
        across = _turn(angles - front.angle) * radius / (1.2 * front.half_width_mm)
        along = (at_mm - front.centre_mm) / (front.half_length_mm + 4.0)
        muscularis += front.bulge_mm * np.exp(-0.5 * (across**2 + along[:, None] ** 2))
        thickness = rng.uniform(3.0, 4.6) * (1 + _waves(rng, at_mm, angles, (0.1, 0.1, 0.08)))
        submucosa = muscularis - np.maximum(thickness, 1.5)
        folds = np.maximum(_waves(rng, at_mm, angles, (0.0, 0.4, 0.5, 0.5, 0.4, 0.3)), -0.3)
        lumen = np.maximum(submucosa - rng.uniform(3.5, 5.5) * (1 + folds), 3.0)
        fascia = muscularis.mean() + rng.uniform(15.0, 22.0)
        fascia = fascia * (1 + _waves(rng, at_mm, angles, (0.06, 0.08, 0.04)))
        return cls(at_mm, angles, lumen, submucosa, muscularis, np.maximum(fascia, muscularis + 5))


def _fit(
    patient: Patient, wall: _Wall, front: _Front, rng: np.random.Generator
) -> tuple[Contour, Contour, float]:
    """Scale the tumour's length, width and height together until its volume is the patient's.

    Returns:
        Its inner and its outer surface, and the volume.
    """
    apart = patient.version > 1  # the front, from the rest of the tumour
    offset, turn, lobes = rng.uniform(-0.3, 0.3), rng.uniform(-0.3, 0.3), rng.uniform(0, 2 * np.pi)
    body = rng.uniform(0.15, 0.5)  # how deep the rest of the tumour goes into the muscularis
    radius = float(wall.muscularis.mean())
    along_front = np.abs(wall.at_mm - front.centre_mm)[:, None]
    ends = (front.half_length_mm + front.sharpness_mm / 2 - along_front) / front.sharpness_mm
    away = _turn(wall.angles - front.angle)
    ring = wall.muscularis - wall.submucosa
    if front.breach_mm is None:
        deepest = wall.submucosa + front.invasion * ring
    else:
        deepest = wall.muscularis + front.breach_mm * (1 + 0.25 * np.cos(4 * away + lobes))

    def contours(scale: float, *, with_front: bool) -> tuple[Contour, Contour]:
        half_length = max(7.0 * scale, front.half_length_mm + 2.0)
        half_width = min(0.8 * scale, 0.95 * np.pi)
        centre = front.centre_mm + offset * half_length
        around = _turn(wall.angles - front.angle - turn * min(half_width, 1.0)) / half_width
        along = ((wall.at_mm - centre) / half_length)[:, None]
        profile = np.sqrt(np.maximum(1 - around**2 - along**2, 0))
        inner = wall.lumen - np.minimum(3.0 * scale * profile, 0.8 * wall.lumen)
        outer = wall.lumen + (wall.submucosa - wall.lumen) * np.minimum(1.6 * profile, 1)
        outer += body * ring * profile
        if with_front:
            width = (
                front.half_width_mm
                if apart
                else min(front.half_width_mm, 0.8 * half_width * radius)
            )
            bump = np.clip(1.6 * (1 - (away * radius / width) ** 2), 0, 1) * np.clip(ends, 0, 1)
            bump *= 1 if apart else np.minimum(4 * profile, 1)
            outer += bump * np.maximum(deepest - outer, 0)
        return inner, outer

    low, high = 0.05, 10.0
    for _ in range(24):
        middle = (low + high) / 2
        volume = _measure(*contours(middle, with_front=not apart))
        small = volume < patient.tumour_volume_cm3 * 1000
        low, high = (middle, high) if small else (low, middle)
    volume = _measure(*contours(high, with_front=not apart))
    return *contours(high, with_front=True), volume


def _measure(inner: Contour, outer: Contour) -> float:
    """Volume between two contours over the whole length of the rectum, in mm^3."""
    squares = (outer**2 - inner**2)[-len(_MEASURE_MM) :]
    return float(squares.sum() / 2 * (2 * np.pi / ANGLES) * (_MEASURE_MM[1] - _MEASURE_MM[0]))


def _waves(
    rng: np.random.Generator,
    at_mm: Float[np.ndarray, " plane"],
    angles: Float[np.ndarray, " angle"],
    amplitudes: tuple[float, ...],
) -> Contour:
    """A smooth periodic function of angle that changes slowly along the axis."""
    order = np.arange(1, len(amplitudes) + 1)[:, None] * angles
    curves = smooth_curves(
        rng, at_mm, 2 * len(amplitudes), extent_mm=RECTUM_EXTENT_MM, correlation_mm=12.0
    )
    weights = curves * np.tile(np.asarray(amplitudes) / np.sqrt(2), 2)
    waves: np.ndarray = weights @ np.concatenate([np.cos(order), np.sin(order)])
    return waves


def _turn(angle: Float[np.ndarray, " angle"]) -> Float[np.ndarray, " angle"]:
    """The same direction between -pi and pi."""
    return (angle + np.pi) % (2 * np.pi) - np.pi
